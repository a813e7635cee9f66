"""The port of the event log: ordered topics, batches appended durably, records read by offset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from nearline.schema.event import Record, Topic


class Log(Protocol):
    """Ordered topics of records. An offset is a record's place in its topic and never changes.

    One thread of one process writes (`append`, `commit`, `trim`, `set_end`); any thread or process may read.
    """

    def append(self, batches: Mapping[Topic, Sequence[Record]]) -> dict[Topic, int]:
        """Append to several topics at once: all of it is durable on return, or none of it was written.

        Returns:
            The offset of the first record of each topic's batch (for an empty batch, the topic's end).

        Raises:
            StoreUnavailableError: disk full, locked or failing; nothing was written.
        """
        ...

    def read(self, topic: Topic, start: int, limit: int) -> tuple[int, list[Record]]:
        """Return up to `limit` consecutive records from `start` on, and the offset of the first of them.

        The first is later than `start` where the log was trimmed (or moved by `set_end`). At the end of the
        topic the list is empty and the offset is where to ask again. No transaction outlives the call.
        """
        ...

    def start(self, topic: Topic) -> int:
        """Return the offset of the first record kept, or the end where none is."""
        ...

    def end(self, topic: Topic) -> int:
        """Return the offset that the next record gets."""
        ...

    def set_end(self, topic: Topic, offset: int) -> None:
        """Move the end forward: after a bulk import into the lake, or where the lake outlived the log's tail.

        Raises:
            NearlineError: `offset` is below the end.
        """
        ...

    def offset_at(self, topic: Topic, ms: int) -> int:
        """Return where the first batch holding a record ingested at `ms` UTC or later starts, or the end."""
        ...

    def commit(self, consumer: str, topic: Topic, offset: int) -> None:
        """Remember durably that `consumer` is done with everything below `offset`."""
        ...

    def committed(self, consumer: str, topic: Topic) -> int:
        """Return what `consumer` committed last, 0 for nothing."""
        ...

    def trim(self, topic: Topic, before: int) -> int:
        """Drop the whole batches below offset `before`; return how many records went."""
        ...

    def close(self) -> None:
        """Let go of files and locks. Closing twice is fine."""
        ...
