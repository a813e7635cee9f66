"""Releases: one training at a time, in whatever process; a registry that servers share."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from nearline.schema.errors import NearlineError
from nearline.stores.objects import open_objects
from nearline.stores.registry import ReleaseRegistry
from nearline.stores.releases import Manifest, ReleaseStore


def test_a_second_training_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    first, second = ReleaseStore(tmp_path), ReleaseStore(tmp_path)
    with first.training(), pytest.raises(NearlineError, match="another training is under way"), second.training():
        pass
    with second.training():
        pass


MANIFEST = Manifest("", "", 1, "app", "set", [], [], 0, 0, 0, 0, 0, "", {}, [], "", {})


def made(registry: ReleaseStore, value: float) -> Manifest:
    return msgspec.structs.replace(MANIFEST, version=registry.next_version(), created_at=int(value))


def test_a_training_goes_on_only_from_what_knew_nothing_of_what_it_is_judged_by(tmp_path: Path) -> None:
    store = ReleaseStore(tmp_path)
    for until, features in ((100, "set"), (200, "set"), (250, "other"), (300, "set")):
        change = {"version": store.next_version(), "evaluated_until": until, "feature_set": features}
        store.publish(msgspec.structs.replace(MANIFEST, **change), {"sequence": {"weights": np.full(2, until)}})
    for time, found in ((350, 300), (299, 200), (200, 200), (199, 100)):
        assert store.earlier(time, "set")["sequence"]["weights"].tolist() == [found, found]
    assert store.earlier(99, "set") == {}


def test_servers_share_releases(objects_url: str, tmp_path: Path) -> None:
    def server(name: str) -> ReleaseRegistry:
        return ReleaseRegistry(tmp_path / name, open_objects(objects_url, tmp_path), "shop/releases")

    one, two = server("one"), server("two")
    one.refresh()
    assert (one.current(), one.versions()) == ("", [])
    first, second = made(one, 1.0), made(two, 2.0)
    assert (first.version, second.version) == ("r000001", "r000002")  # both train: neither gets the other's number
    one.publish(first, {"als": {"vectors": np.ones(3)}})
    two.refresh()
    assert two.current() == "r000001"
    assert two.load("r000001", "set").arrays["als"]["vectors"].tolist() == [1, 1, 1]
    two.publish(second, {"als": {"vectors": np.zeros(3)}})
    with pytest.raises(NearlineError, match="never change"):
        server("three").publish(second, {"als": {"vectors": np.ones(3)}})
    one.refresh()
    assert (one.current(), one.versions()) == ("r000002", ["r000001", "r000002"])
    one.use("r000001")
    two.refresh()
    assert two.current() == "r000001"
    with one.training(), pytest.raises(NearlineError, match="another training is under way"), two.training():
        pass
    with pytest.raises(NearlineError, match=r"r000009.*r000001, r000002"):
        two.use("r000009")

    # What came damaged or not whole is not served.
    open_objects(objects_url, tmp_path).put("shop/releases/r000002/als/vectors.npy", b"something else")
    late = server("late")
    with pytest.raises(NearlineError, match="not what its manifest says"):
        late.use("r000002")
    assert (late.current(), [p.name for p in late.folder.glob("r*")]) == ("", [])
    late.refresh()
    assert late.current() == "r000001"


def test_what_was_trained_before_there_was_a_registry_serves_and_can_be_shared(tmp_path: Path) -> None:
    old = msgspec.structs.replace(MANIFEST, version="r000001")
    ReleaseStore(tmp_path / "one").publish(old, {"als": {"vectors": np.ones(3)}})

    def server(name: str) -> ReleaseRegistry:
        return ReleaseRegistry(tmp_path / name, open_objects(f"file://{tmp_path}/registry", tmp_path), "shop/releases")

    one, two = server("one"), server("two")
    one.refresh()
    assert (one.current(), one.published(), one.versions(), two.versions()) == ("r000001", "", ["r000001"], [])
    assert one.next_version() == "r000002"
    one.use("r000001")
    two.refresh()
    assert two.load("r000001", "set").arrays["als"]["vectors"].tolist() == [1, 1, 1]
