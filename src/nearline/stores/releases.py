"""Releases: immutable directories with a manifest; one of them is current."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from nearline.schema.components import Arrays
from nearline.schema.errors import NearlineError
from nearline.stores.durable import sync

MAPPED = 64_000_000
"""Bytes from which an array is read from its file where it is used, not as a whole when a release is loaded."""


class Gate(msgspec.Struct, frozen=True):
    """One check before publishing."""

    name: str
    passed: bool
    reason: str


class Manifest(msgspec.Struct, frozen=True):
    """What a release is made of. Times are ms UTC.

    Attributes:
        feature_set: hash that state and columns must match.
        features, outcomes: names, in order.
        fitted_until, taught_until, evaluated_until: T0, T1 and the end of the data. The sources that were judged were fitted
            until T0, those published until the end.
        metrics: by name, of this release and of what it was compared with.
        files: SHA-256 of each array's file by its name below the release, in hex, where it is in a registry.
    """

    version: str
    parent: str
    created_at: int
    application: str
    feature_set: str
    features: list[str]
    outcomes: list[str]
    items: int
    events: int
    fitted_until: int
    taught_until: int
    evaluated_until: int
    examples: str
    metrics: dict[str, dict[str, float]]
    gates: list[Gate]
    embedding_version: str
    dropped: dict[str, int]
    files: dict[str, str] = {}


class Release(msgspec.Struct, frozen=True):
    """A loaded release: arrays by component."""

    manifest: Manifest
    arrays: dict[str, Any]


class ReleaseStore:
    """Releases in a folder; `CURRENT` names the one in service and is replaced atomically.

    Args:
        folder: holds one directory per release.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def versions(self) -> list[str]:
        """Return all versions, oldest first."""
        found = self.folder.glob("r*/manifest.json") if self.folder.exists() else []
        return sorted(path.parent.name for path in found)

    def current(self) -> str:
        """Return the version in service, "" before the first."""
        pointer = self.folder / "CURRENT"
        return pointer.read_text().strip() if pointer.exists() else ""

    def published(self) -> str:
        """Return the version that all servers are to serve, "" before the first."""
        return self.current()

    def refresh(self) -> None:
        """Learn of what others published; in a folder all of it is known already."""

    def next_version(self) -> str:
        """Return a version that sorts after all there are."""
        taken = [path.name for path in self.folder.glob("r*")] if self.folder.exists() else []
        return f"r{max((int(name[1:]) for name in taken if name[1:].isdigit()), default=0) + 1:06d}"

    def manifest(self, version: str) -> Manifest:
        """Return a release's manifest.

        Raises:
            NearlineError: there is no such release.
        """
        path = self.folder / version / "manifest.json"
        if not version or not path.exists():
            known = ", ".join(self.versions()) or "none yet: run `nearline train`"
            raise NearlineError("release", version, f"choose one that exists ({known})")
        return msgspec.json.decode(path.read_bytes(), type=Manifest)

    def load(self, version: str, feature_set: str) -> Release:
        """Return a release with its arrays.

        Raises:
            NearlineError: it does not exist, or belongs to another feature set.
        """
        manifest = self.manifest(version)
        if manifest.feature_set != feature_set:
            raise NearlineError(
                "release", version, f"it was made for feature set {manifest.feature_set}, not {feature_set}; train again"
            )
        arrays: dict[str, Arrays] = {}
        for path in sorted((self.folder / version).glob("*/*.npy")):
            # Large ones stay in their file's pages, which all processes share; who writes into one has a page of his own.
            mapped: Literal["c"] | None = "c" if path.stat().st_size >= MAPPED else None
            arrays.setdefault(path.parent.name, {})[path.stem] = np.load(path, mmap_mode=mapped)
        return Release(manifest, arrays)

    def earlier(self, time: int, feature_set: str) -> dict[str, Arrays]:
        """Return the arrays of the newest release that knows nothing after a time (ms UTC); `{}` where there is none.

        A training that judges by what came later may go on from these, and from no other.
        """
        for version in reversed(self.versions()):
            try:
                if self.manifest(version).evaluated_until <= time:
                    arrays: dict[str, Arrays] = self.load(version, feature_set).arrays
                    return arrays
            except NearlineError:
                continue  # of another feature set, or not whole
        return {}

    @contextmanager
    def training(self) -> Iterator[None]:
        """Keep other trainings out, in whatever process, as long as the body runs.

        Raises:
            NearlineError: another one is under way.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".training").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                remedy = "another training is under way; wait for its release (`nearline releases`)"
                raise NearlineError("train", str(self.folder), remedy) from error
            yield

    def publish(self, manifest: Manifest, arrays: Mapping[str, Arrays]) -> None:
        """Write a release whole, then make it current; a crash leaves the old one in service."""
        final = self.folder / manifest.version
        draft = self.folder / f".{manifest.version}.tmp"
        shutil.rmtree(draft, ignore_errors=True)
        for component, own in arrays.items():
            (draft / component).mkdir(parents=True, exist_ok=True)
            for name, array in own.items():
                np.save(draft / component / f"{name}.npy", array)
        draft.mkdir(parents=True, exist_ok=True)
        (draft / "manifest.json").write_bytes(encoded(manifest))
        for path in [*draft.rglob("*"), draft]:
            sync(path)
        draft.rename(final)
        self.use(manifest.version)

    def attach(self, version: str, name: str, data: bytes) -> None:
        """Add a file to a release that servers don't load, for others to take away."""
        path = self.folder / version / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)

    def use(self, version: str) -> None:
        """Make a release current.

        Raises:
            NearlineError: there is no such release.
        """
        self.manifest(version)
        draft = self.folder / ".CURRENT.tmp"
        draft.write_text(version + "\n")
        sync(draft)
        draft.replace(self.folder / "CURRENT")
        sync(self.folder)


def encoded(manifest: Manifest) -> bytes:
    """Return a manifest as its file is."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2)
