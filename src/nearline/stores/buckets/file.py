"""Objects as files of a folder, on this machine or mounted."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nearline.schema.errors import StoreUnavailableError
from nearline.stores.durable import sync


def open_objects(url: str, folder: Path) -> FileObjects:
    """Open file:///a/folder; "file:" alone is the folder given."""
    place = url.partition(":")[2].removeprefix("//")
    return FileObjects(Path(place) if place else folder)


class FileObjects:
    """An `Objects` in a folder.

    Args:
        root: the folder; made with the first write.
    """

    remote = False

    def __init__(self, root: Path) -> None:
        self.root = root

    def folders(self, folder: str) -> list[str]:
        """Return the names of the folders right below one, sorted."""
        try:
            with os.scandir(self.root / folder) as entries:
                return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
        except FileNotFoundError:
            return []

    def names(self, folder: str, before: str = "") -> list[str]:
        """Return the whole names of all objects below a folder, sorted."""
        found: list[str] = []
        try:
            with os.scandir(self.root / folder) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or (before and entry.name >= before):
                        continue
                    name = f"{folder}/{entry.name}"
                    found += self.names(name) if entry.is_dir() else [name]
        except FileNotFoundError:
            return []
        return sorted(found)

    def read(self, name: str) -> bytes:
        """Return an object."""
        return (self.root / name).read_bytes()

    def source(self, name: str) -> str:
        """Return the path."""
        return str(self.root / name)

    def put(self, name: str, data: Any) -> None:
        """Write an object so that it is there whole, on disk, or not at all."""
        path = self.root / name
        temporary = path.parent / ".writing.tmp"  # one name: what a killed writer left is written over
        try:
            _make(path.parent)
            temporary.write_bytes(data)
            sync(temporary)
            os.replace(temporary, path)
            sync(path.parent)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise StoreUnavailableError(f"{path.parent} can't be written: {error}") from error

    def create(self, name: str, data: bytes) -> bool:
        """Write an object of which there is none."""
        path = self.root / name
        temporary = path.parent / f".{os.getpid()}.{os.urandom(4).hex()}.tmp"
        try:
            _make(path.parent)
            temporary.write_bytes(data)
            sync(temporary)
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
            finally:
                temporary.unlink()
            sync(path.parent)
        except OSError as error:
            raise StoreUnavailableError(f"{path.parent} can't be written: {error}") from error
        return True

    def delete(self, names: Sequence[str]) -> None:
        """Drop files, and folders that are empty then."""
        for name in names:
            path = self.root / name
            path.unlink(missing_ok=True)
            with suppress(OSError):
                path.parent.rmdir()

    @contextmanager
    def locked(self, name: str, wait: bool = True) -> Iterator[FileObjects]:
        """Keep others out; the operating system lets go where the process ends, however it ends."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            yield self

    def check(self) -> None:
        """A lock of the operating system never runs out."""


def _make(folder: Path) -> None:
    """Make a folder that is there after a power cut too."""
    if not folder.exists():
        _make(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)
