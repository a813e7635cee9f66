"""The servers that contract tests run on: one entry each, which says how it is started, and nothing else has to know it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Protocol

from engines import cassandra, hdfs, in_process, milvus, mysql, postgresql, s3, valkey
from nearline.stores.adapters import schemes


class StoreServer(Protocol):
    """A server that keeps something for Nearline."""

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables that lead its client there; none where its URL says all."""
        ...

    def start(self) -> None:
        """Start it, and return once it answers."""
        ...

    def remove(self) -> None:
        """End it; nobody needs its data any more."""
        ...

    def place(self) -> str:
        """Return the URL of a place there which only the caller uses."""
        ...

    def empty(self, place: str) -> None:
        """Lose all that is in a place, as a server without a disk does."""
        ...


class Breakable(StoreServer, Protocol):
    """One that can be let hang, and killed; it is where it was after its next start."""

    def freeze(self) -> None:
        """Let it hang."""
        ...

    def thaw(self) -> None:
        """Let it go on."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """How a server is had.

    Attributes:
        missing: says what it needs that is not here, "" for nothing.
        make: makes it, with a folder of its own.
        breaks: whether it is a `Breakable`.
    """

    missing: Callable[[], str]
    make: Callable[[Path], StoreServer]
    breaks: bool = True


SERVERS: dict[str, Entry] = {
    "redis": Entry(valkey.available, valkey.Valkey),
    "redis-cluster": Entry(valkey.available, valkey.ValkeyCluster, breaks=False),
    "postgresql": Entry(postgresql.available, lambda folder: postgresql.Postgresql()),
    "mysql": Entry(mysql.available, mysql.Mysql),
    "cassandra": Entry(cassandra.available, cassandra.Cassandra),
    "milvus": Entry(milvus.available, milvus.Milvus),
    "memory": Entry(lambda: "", partial(in_process.InProcess, "memory:"), breaks=False),
    "faiss": Entry(in_process.faiss_available, partial(in_process.InProcess, "faiss:?index=flat"), breaks=False),
    "faiss-shards": Entry(in_process.faiss_available, partial(in_process.InProcess, "faiss:?shards=3"), breaks=False),
    "s3": Entry(s3.available, s3.S3),
    "hdfs": Entry(hdfs.available, hdfs.Hdfs, breaks=False),
}
"""By scheme of the URL; behind a "-", another way to run it."""


def serving(port: ModuleType, breaks: bool = False) -> list[str]:
    """Return the names of the servers that a port has an adapter for: all of them keep its contract.

    Args:
        port: the package that holds the adapters, such as `nearline.stores.users`.
        breaks: only those that can be let hang, and killed.
    """
    there = schemes(port)
    return [name for name, entry in SERVERS.items() if name.partition("-")[0] in there and entry.breaks >= breaks]
