"""A source asks whatever index there is, which comes with the release, is checked before, and follows the catalogue."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from test_source_contract import APP, NOW

from nearline.features.suppression import SuppressionLists
from nearline.schema.components import Arrays
from nearline.schema.event import empty_events
from nearline.schema.ids import key, keys
from nearline.schema.item import Item
from nearline.schema.query import Query
from nearline.schema.vectors import Packed, Vectors, embedding_of
from nearline.sources.als import AlsSource
from nearline.sources.vector_search import VectorSearch, vector_gauges
from nearline.stores.catalog import Catalog
from nearline.stores.nearest.live import LiveIndex
from nearline.stores.state import MemoryState
from nearline.stores.vector_index import Indexes, VectorPlace, fill
from nearline.stores.world import OnlineWorld

pytest.importorskip("faiss")
N, DIMENSIONS, TOUCHED = 3_000, 12, (5, 80, 7)
URL = "faiss:?index=ivf_sq8&nprobe=64"


def a_world(url: str = URL) -> OnlineWorld:
    state = MemoryState(AlsSource().folds, [SuppressionLists(APP.kinds())])
    world = OnlineWorld(state, Catalog(state))
    world.catalog.put(Item(f"i{n}", category=f"c{n % 7} > d{n % 21}") for n in range(N))
    events = empty_events(len(TOUCHED))
    events["offset"], events["ts"], events["user"] = np.arange(len(TOUCHED)), NOW, key("someone")
    events["item"], events["role"], events["weight"] = keys(f"i{n}" for n in TOUCHED), 3, 1000
    world.apply(events)
    world.indexes = Indexes(VectorPlace(url, "t", 20.0))
    return world


def arrays(seed: int) -> Arrays:
    random = np.random.default_rng(seed)
    own = (2 * random.normal(size=(21, DIMENSIONS))[np.arange(N) % 21] + random.normal(size=(N, DIMENSIONS))).astype(np.float32)
    solve = np.linalg.inv(own.T @ own + np.eye(DIMENSIONS)).astype(np.float32)
    return {"keys": keys(f"i{n}" for n in range(N)), "vectors": own, "solve": solve}


def brought(given: Arrays, url: str = URL) -> Arrays:
    """Return the arrays of a release with the index that training made."""
    index = Indexes(VectorPlace(url, "t", 20.0)).of(embedding_of("als", given["keys"], given["vectors"]))
    fill(index, given["keys"], given["vectors"])
    assert isinstance(index, LiveIndex)
    packed = index.packed()
    assert packed is not None
    return given | {"index": packed}


def found(source: AlsSource, world: OnlineWorld, limit: int = 100) -> list[int]:
    items = source.fetch(Query(key("someone"), NOW), world.hydrate(key("someone"), NOW), limit).items
    assert str(items.dtype) == "int32"
    return [int(item) for item in items]


def alike(ours: list[int], theirs: list[int]) -> float:
    return len(set(ours) & set(theirs)) / len(theirs)


def until(met: object) -> None:
    end = time.monotonic() + 60
    while not met():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)


def test_what_a_release_brings_is_asked_and_the_next_release_has_its_own() -> None:
    world, first, second = a_world(), brought(arrays(1)), brought(arrays(2))
    old, new, scanning = AlsSource(), AlsSource(), AlsSource()
    old.bind(world, first)
    assert old.search is not None
    assert (old.search.refused, old.search.index.kind) == ("", "ivf_sq8")  # type: ignore[attr-defined]
    before = found(old, world)
    scanning.bind(a_world("memory:"), first)
    assert alike(before, found(scanning, world)) > 0.9
    new.bind(world, second)
    assert found(old, world) == before  # it serves on while the other is made ready
    assert alike(found(new, world), before) < 0.5
    gauges = vector_gauges([old, new, scanning])
    assert gauges["nearline_vectors_recall"] > 0.9
    assert (gauges["nearline_vectors_refused"], gauges["nearline_vectors_shards_missing"]) == (0, 0)


@pytest.mark.parametrize("damage", ["none", "flipped", "another's"])
def test_what_is_missing_or_damaged_is_built_beside_while_all_is_scanned(damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world, given, build = a_world(), brought(arrays(1)), threading.Event()
    held = LiveIndex._built

    def waiting(index: LiveIndex, kind: str, vectors: Vectors) -> object:
        assert kind == "scan" or build.wait(60)
        return held(index, kind, vectors)

    monkeypatch.setattr(LiveIndex, "_built", waiting)
    if damage == "none":
        del given["index"]
    else:
        build.set()
        wrong: Packed = given["index"].copy() if damage == "flipped" else brought(arrays(2))["index"]
        wrong[-9] ^= 1 if damage == "flipped" else 0
        given["index"] = wrong
    source, scanning = AlsSource(), AlsSource()
    source.bind(world, given)
    scanning.bind(a_world("memory:"), given)
    search = source.search
    assert search is not None
    if damage == "none":
        assert not search.index.whole()
        assert found(source, world) == found(scanning, world)
        source.renew(NOW)
    # What comes meanwhile is found meanwhile, and by the index afterwards.
    world.catalog.put([Item("new")])
    query, new = given["vectors"][5], world.catalog.slot("new")
    search.put(keys(["new"]), 10 * query[None])
    search.drop(keys(["i5"]))
    build.set()
    for _ in range(2):
        slots = search.nearest(query, 50)[0].tolist()
        assert (slots[0], world.catalog.slot("i5") in slots) == (new, False)
        until(lambda: search.index.verdict is not None and search._asked is search.index)
    search.drop(keys(["new"]))
    assert alike(found(source, world), found(scanning, world)) > 0.9


def test_an_index_that_canary_queries_refuse_is_not_asked(caplog: pytest.LogCaptureFixture) -> None:
    url = "faiss:?index=ivf_sq8&nprobe=1"
    world, given = a_world(url), brought(arrays(1), url)
    source, scanning = AlsSource(), AlsSource()
    source.bind(world, given)
    scanning.bind(a_world("memory:"), given)
    assert found(source, world) == found(scanning, world)
    assert "is not asked, and all vectors are scanned: recall@100" in caplog.text
    source.renew(NOW)
    gauges = vector_gauges([source])
    assert gauges["nearline_vectors_refused"] == 1
    assert gauges["nearline_vectors_recall"] < 0.9
    # Who wants it all the same says so.
    willing = a_world(f"{url}&floor=0")
    source.bind(willing, given)
    assert source.search is not None
    assert source.search.refused == ""


@pytest.mark.parametrize("url", [URL, "memory:", "memory:?index=scann&nprobe=64", "faiss:?index=ivf_sq8&nprobe=64&shards=3"])
def test_the_next_search_finds_what_came_and_not_what_was_withdrawn(url: str) -> None:
    world, given = a_world(url), arrays(1)
    search = VectorSearch(world, "als", given)
    until(lambda: search._asked is search.index)
    query = given["vectors"][5]
    slots, scores = search.nearest(query, 50)
    assert (len(slots), bool((np.diff(scores) <= 0).all())) == (50, True)
    for slot in slots[:40].tolist():
        world.catalog.withdraw(world.catalog.ids[slot])
    rest, _ = search.nearest(query, 50)
    assert len(rest) == 50
    assert not set(slots[:40].tolist()) & set(rest.tolist())
    world.catalog.put([Item("new")])
    slot = world.catalog.slot("new")
    search.put(keys(["new"]), 10 * query[None])
    assert search.nearest(query, 5)[0][0] == slot
    search.renew()
    search.drop(keys(["new"]))
    assert slot not in search.nearest(query, 50)[0]
