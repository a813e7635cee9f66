"""Objects in a bucket, through obstore: what the adapters of object stores share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import obstore
import pyarrow as pa
from obstore.exceptions import AlreadyExistsError, BaseError

from nearline.schema.errors import StoreUnavailableError
from nearline.stores.adapters import shown
from nearline.stores.lease import Lease, leased

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

CLIENT: ClientConfig = {
    "connect_timeout": timedelta(seconds=2),
    "read_timeout": timedelta(seconds=10),  # nothing comes for so long
    "timeout": timedelta(minutes=5),  # a large object, whole
    "allow_http": True,
}
RETRY: RetryConfig = {
    "max_retries": 3,
    "retry_timeout": timedelta(seconds=5),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=1), "base": 2},
}


class BucketObjects:
    """An `Objects` in a bucket. Puts are atomic there, and listings complete.

    Args:
        store: the bucket, with its prefix.
        url: of it, in errors.
    """

    remote = True

    def __init__(self, store: ObjectStore, url: str) -> None:
        self._store, self._url = store, shown(url)

    def folders(self, folder: str) -> list[str]:
        """Return the names of the folders right below one, sorted."""
        with self._asking():
            found = obstore.list_with_delimiter(self._store, folder)["common_prefixes"]
        names = (name.rstrip("/").rpartition("/")[2] for name in found)
        return sorted(name for name in names if not name.startswith("."))

    def names(self, folder: str, before: str = "") -> list[str]:
        """Return the whole names of all objects below a folder, sorted."""
        found: list[str] = []
        begin = len(folder) + 1
        with self._asking():
            for page in obstore.list(self._store, folder):
                names = [str(entry["path"]) for entry in page]
                found += [name for name in names if not before or name[begin:] < before]
                if before and names and names[-1][begin:] >= before:
                    break
        return sorted(name for name in found if "/." not in name[begin - 1 :])

    def read(self, name: str) -> bytes:
        """Return an object."""
        with self._asking():
            return bytes(obstore.get(self._store, name).bytes())

    def source(self, name: str) -> pa.NativeFile:
        """Return an object as a file in memory: one request is quicker than several for parts of it."""
        with self._asking():
            return pa.BufferReader(pa.py_buffer(obstore.get(self._store, name).bytes()))

    def put(self, name: str, data: Any) -> None:
        """Write an object; a large one goes up in parts, and is there when the last of them is."""
        with self._asking():
            obstore.put(self._store, name, memoryview(data).cast("B"))

    def create(self, name: str, data: bytes) -> bool:
        """Write an object of which there is none, by a conditional put."""
        with self._asking():
            try:
                obstore.put(self._store, name, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
        return True

    def delete(self, names: Sequence[str]) -> None:
        """Drop objects."""
        if names:
            with self._asking():
                obstore.delete(self._store, list(names))

    def locked(self, name: str, wait: bool = True) -> AbstractContextManager[Lease]:
        """Keep others out by a lease."""
        return leased(self, name, wait)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except (BaseError, FileNotFoundError) as error:
            if isinstance(error, FileNotFoundError) and "NoSuchBucket" not in str(error):
                raise
            reason = " ".join(str(error).partition("Debug source")[0].split())
            raise StoreUnavailableError(f"{self._url}: {reason}") from error
