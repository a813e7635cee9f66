"""The port of the store of user rows: packed rows by visitor, written by the stream, read once per request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from msgspec import Struct

from nearline.stores import users
from nearline.stores.adapters import adapter


class RowsLostError(Exception):
    """A store does not have any more what was written before."""


class UserRow(Struct, frozen=True, gc=False):
    """What is kept of a visitor: bytes that begin with the presence head, which begins with the last event's offset.

    Attributes:
        visitor: his key.
        hot: the packed hot row; b"" where it is gone.
        history: the presence head and the packed history row; b"" where there is none.
    """

    visitor: int
    hot: bytes = b""
    history: bytes = b""

    @property
    def offset(self) -> int:
        """The offset of the last event that is in it."""
        return int.from_bytes((self.hot or self.history)[:8], "little", signed=True)


def signed(visitor: int) -> int:
    """Return a key, 64 bits, as the signed number that databases have."""
    return visitor - (1 << 64) if visitor >= 1 << 63 else visitor


class UserRows(Protocol):
    """Rows by visitor. A row never moves backwards: what is older than what is there is not written.

    Any number of threads may read; one writes.
    """

    def read(self, visitors: Sequence[int], partitions: Sequence[int] = ()) -> tuple[list[UserRow], list[int]]:
        """Return the rows of visitors, in one round trip, and the progress of partitions, 0 for none.

        All events of a partition below its progress are in the rows that are returned; without visitors, in all rows.

        Raises:
            StoreUnavailableError: it does not answer in time.
        """
        ...

    def write(self, rows: Sequence[UserRow], progress: Mapping[int, int]) -> None:
        """Write rows, then up to which offset each partition is in them; all of it is there on return.

        Raises:
            StoreUnavailableError: it does not answer; some rows may be written, and writing them again is harmless.
            RowsLostError: progress is not where it was when it was last read or written here; as before.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


@runtime_checkable
class NamedRows(Protocol):
    """A store in which other tools find a visitor's values by name."""

    def names(self, visitor: int) -> list[str]:
        """Return what his values are called there."""
        ...


@dataclass(frozen=True, slots=True)
class RowsPlace:
    """Where user rows are.

    Attributes:
        url: such as "redis://127.0.0.1:6379/0".
        tenant: in the names of keys and tables.
        hot_ms: how long a hot row is kept without being written, ms.
        history_ms: how long a history is, ms.
        timeout: seconds that one answer may take.
    """

    url: str
    tenant: str
    hot_ms: int
    history_ms: int
    timeout: float


def open_user_rows(place: RowsPlace) -> UserRows:
    """Open a store of user rows; it connects when it is first asked.

    Raises:
        NearlineError: no such adapter, or its client is not installed.
    """
    opened: UserRows = adapter(users, "storage.state", place.url, "memory:").open_rows(place)
    return opened
