"""The registry: releases that all servers share, in a store of objects; each server has copies of those it used."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from nearline.schema.components import Arrays
from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.stores.buckets.file import FileObjects
from nearline.stores.durable import sync
from nearline.stores.objects import Objects
from nearline.stores.releases import Manifest, ReleaseStore, encoded

MANIFEST = "manifest.json"
CURRENT = "CURRENT"
TAKEN = ".taken"
"""Object that makes a version one training's own."""


class ReleaseRegistry(ReleaseStore):
    """Releases of several servers.

    A release is objects that never change, its manifest the last of them; `CURRENT` names the one in service. What serves is
    the copy in this server's folder: `current` and `load` ask nobody, and `refresh` brings what is new. So a registry that is
    down or hangs delays a swap, and nothing else. What this folder had before there was a registry serves until that has one.

    Args:
        folder: of this server's copies.
        objects: where all servers' releases are.
        place: folder there.
    """

    def __init__(self, folder: Path, objects: Objects, place: str) -> None:
        super().__init__(folder)
        self._objects, self._place = objects, place

    def published(self) -> str:
        """Return the version that is in service by the registry, "" before the first."""
        try:
            return self._objects.read(self._name(CURRENT)).decode().strip()
        except FileNotFoundError:
            return ""

    def refresh(self) -> None:
        """Copy the release in service here, where it is not, and make it current here.

        Raises:
            StoreUnavailableError: the registry does not answer; what was current here stays.
            NearlineError: the release is damaged.
        """
        version = self.published()
        if version and (version != self.current() or not self._here(version)):
            self._fetch(version)
            super().use(version)

    def versions(self) -> list[str]:
        """Return all versions, there and here, oldest first; those here where the registry does not answer."""
        here = super().versions()
        try:
            names = self._objects.names(self._place)
        except StoreUnavailableError:
            return here
        begin = len(self._place) + 1
        return sorted({*here, *(name[begin:].partition("/")[0] for name in names if name.endswith(f"/{MANIFEST}"))})

    def next_version(self) -> str:
        """Return a version that is the caller's alone, and sorts after all there are."""
        taken = [int(name[1:]) for name in self._objects.folders(self._place) if name[1:].isdigit()]
        number = max([*taken, int(super().next_version()[1:]) - 1])
        while True:
            number += 1
            if self._objects.create(self._name(f"r{number:06d}/{TAKEN}"), b""):
                return f"r{number:06d}"

    def manifest(self, version: str) -> Manifest:
        """Return a release's manifest."""
        if version and not self._here(version) and (there := self._shared(version)) is not None:
            return there
        return super().manifest(version)

    def publish(self, manifest: Manifest, arrays: Mapping[str, Arrays]) -> None:
        """Write a release here, then to the registry, then make it current."""
        if manifest.version in self.versions():
            raise _there_is_one(manifest.version)
        super().publish(manifest, arrays)

    def attach(self, version: str, name: str, data: bytes) -> None:
        """Add a file to a release that servers don't load."""
        super().attach(version, name, data)
        self._objects.put(self._name(f"{version}/{name}"), data)

    def use(self, version: str) -> None:
        """Make a release current for all servers; one that is only here goes to the registry first."""
        if self._shared(version) is None:
            self._share(super().manifest(version))
        self._fetch(version)
        self._objects.put(self._name(CURRENT), f"{version}\n".encode())
        super().use(version)

    @contextmanager
    def training(self) -> Iterator[None]:
        """Keep other trainings out, on whatever server."""
        try:
            with self._objects.locked(f"{self._place}/.training", wait=False):
                self.refresh()
                yield
        except BlockingIOError as error:
            remedy = f"another training is under way ({error}); wait for its release (`nearline releases`)"
            raise NearlineError("train", self._place, remedy) from error

    def _name(self, name: str) -> str:
        return f"{self._place}/{name}"

    def _here(self, version: str) -> bool:
        return (self.folder / version / MANIFEST).exists()

    def _shared(self, version: str) -> Manifest | None:
        """Return the manifest that the registry has."""
        try:
            return msgspec.json.decode(self._objects.read(self._name(f"{version}/{MANIFEST}")), type=Manifest)
        except FileNotFoundError:
            return None

    def _share(self, manifest: Manifest) -> None:
        """Copy a release to the registry, its manifest last."""
        folder = self.folder / manifest.version
        manifest = msgspec.structs.replace(manifest, files=digests(folder))
        for name in manifest.files:
            self._objects.put(self._name(f"{manifest.version}/{name}"), (folder / name).read_bytes())
        created = self._objects.create(self._name(f"{manifest.version}/{MANIFEST}"), encoded(manifest))
        if not created and self._shared(manifest.version) != manifest:
            raise _there_is_one(manifest.version)

    def _fetch(self, version: str) -> None:
        """Copy a release here, whole and as its manifest says, or not at all."""
        # A server and a command beside it may both want it.
        with FileObjects(self.folder).locked(".fetching"):
            if not self._here(version):
                self._copy(self.manifest(version))

    def _copy(self, manifest: Manifest) -> None:
        version = manifest.version
        final, draft = self.folder / version, self.folder / f".{version}.tmp"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        for name in manifest.files:
            path = draft / name
            path.parent.mkdir(exist_ok=True)
            try:
                path.write_bytes(self._objects.read(self._name(f"{version}/{name}")))
            except FileNotFoundError as error:
                raise NearlineError("release", version, f"its {name} is missing in the registry; publish another") from error
        for name, found in digests(draft).items():
            if found != manifest.files[name]:
                raise NearlineError("release", version, f"its {name} is not what its manifest says; publish another")
        (draft / MANIFEST).write_bytes(encoded(manifest))
        for path in [*draft.rglob("*"), draft]:
            sync(path)
        shutil.rmtree(final, ignore_errors=True)
        draft.rename(final)


def _there_is_one(version: str) -> NearlineError:
    return NearlineError("release", version, "there is one, and releases never change; train again")


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each array's file, in hex, by name below a release's folder."""
    found = {}
    for path in sorted(folder.glob("*/*.npy")):
        with path.open("rb") as file:
            found[str(path.relative_to(folder))] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
