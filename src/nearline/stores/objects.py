"""The port of a store of named objects: folders on a disk or a bucket, for what is written once and read by many."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from nearline.stores import buckets
from nearline.stores.adapters import adapter

FILE = "file:"
"""Setting of what is kept in the folder `[storage] path`."""


class Held(Protocol):
    """A lock that is held."""

    def check(self) -> None:
        """Return where it is held still; called before each write under it.

        Raises:
            StoreUnavailableError: it ran out, and another may hold it.
        """
        ...


class Objects(Protocol):
    """Objects by name; a name is a path such as "default/user_events/date=2026-01-01/0-9.parquet".

    Parts of a path that begin with a dot are drafts and locks: no listing shows them. Any thread may call.

    Attributes:
        remote: whether each call goes over the network.
    """

    remote: bool

    def folders(self, folder: str) -> list[str]:
        """Return the names of the folders right below one, sorted, without its own."""
        ...

    def names(self, folder: str, before: str = "") -> list[str]:
        """Return the whole names of all objects below a folder, sorted.

        Args:
            folder: where; one that is not there is empty.
            before: only what sorts before this, below the folder; all by default.
        """
        ...

    def read(self, name: str) -> bytes:
        """Return an object.

        Raises:
            FileNotFoundError: there is none of this name.
        """
        ...

    def source(self, name: str) -> Any:
        """Return what pyarrow reads an object from: a path, or an open file.

        Raises:
            FileNotFoundError: there is none of this name.
        """
        ...

    def put(self, name: str, data: Any) -> None:
        """Write an object (bytes or a buffer): on return it is durable; others see it whole, what it was before, or nothing."""
        ...

    def create(self, name: str, data: bytes) -> bool:
        """Write an object of which there is none; return whether there was none.

        Over a network the answer to a first try may be lost: then this says False, and what is there is `data`.
        """
        ...

    def delete(self, names: Sequence[str]) -> None:
        """Drop objects, and folders that are empty then; what is not there is fine."""
        ...

    def locked(self, name: str, wait: bool = True) -> AbstractContextManager[Held]:
        """Keep others out, in whatever process, as long as the body runs.

        Args:
            name: of the lock; its last part begins with a dot.
            wait: whether to wait for who holds it.

        Raises:
            BlockingIOError: another holds it, and `wait` is False.
        """
        ...


def open_objects(url: str, folder: Path, setting: str = "storage.lake") -> Objects:
    """Open a store of objects; it connects when it is first asked. Its calls raise StoreUnavailableError.

    Args:
        url: such as "s3://bucket/prefix" or "file:///mnt/shared"; "file:" alone is `folder`.
        setting: that holds the URL, for errors.

    Raises:
        NearlineError: no such adapter, its client is not installed, or the URL is not one of its.
    """
    opened: Objects = adapter(buckets, setting, url).open_objects(url, folder)
    return opened
