"""A group of one: who reads a log that can't be shared out remembers in a file how far he is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from nearline.embedded.publishing.reader import tail_of
from nearline.stores.durable import sync
from nearline.stores.log import Log, Page


class GroupOfOne:
    """A `Group` whose one member has the one partition.

    Args:
        log: not divided.
        path: where it remembers.
        given: called with the partition, and where it goes on.
    """

    def __init__(self, log: Log, path: Path, given: Callable[[dict[int, int]], None]) -> None:
        self._log, self._path = log, path
        start = msgspec.json.decode(path.read_bytes(), type=dict[int, int]) if path.exists() else {0: 0}
        given(start)
        self.seek(start)

    def next(self, seconds: float) -> list[Page]:
        """Return what has come, waiting up to `seconds`."""
        return self._tail.next(seconds)

    def seek(self, starts: Mapping[int, int]) -> None:
        """Go on from another offset."""
        self._tail = tail_of(self._log, {("user_events", number): offset for number, offset in starts.items()})

    def commit(self, ends: Mapping[int, int]) -> None:
        """Remember durably how far it is done."""
        draft = self._path.with_suffix(".draft")
        draft.write_bytes(msgspec.json.encode(dict(ends)))
        sync(draft)
        draft.replace(self._path)
        sync(self._path.parent)

    def close(self) -> None:
        """Let go of what reads."""
        self._tail.close()
