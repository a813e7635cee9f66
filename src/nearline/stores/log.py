"""The port of the event log: ordered topics, batches appended durably, records read by offset."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from nearline.schema.event import Record, Topic
from nearline.schema.ids import partition_of, visitor_key

Ends = dict[int, int]
"""By partition, the offset after the last record that went there."""
Position = tuple[Topic, int]
"""A topic and a partition."""


@dataclass(frozen=True, slots=True)
class Page:
    """Consecutive records of one partition of a topic, the first of them at offset `first`."""

    topic: Topic
    partition: int
    first: int
    records: Sequence[Record]

    @property
    def end(self) -> int:
        """Offset after the last record."""
        return self.first + len(self.records)


def pages_of(topic: Topic, partition: int, offsets: Sequence[int], records: Sequence[Record]) -> list[Page]:
    """Return records of a partition, in order, as pages without gaps; a broker keeps marks of its own between records."""
    cuts = [place for place in range(1, len(offsets)) if offsets[place] != offsets[place - 1] + 1]
    whole = zip([0, *cuts], [*cuts, len(offsets)], strict=True)
    return [Page(topic, partition, offsets[begin], records[begin:end]) for begin, end in whole if end > begin]


class Tail(Protocol):
    """What comes to a log, read by one thread as it comes."""

    def next(self, seconds: float) -> list[Page]:
        """Return what has come since, waiting up to `seconds` for anything; pages of a partition are in order.

        Raises:
            StoreUnavailableError: the log can't be read now; ask again.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class Log(Protocol):
    """Ordered topics of records. An offset is a record's place in its topic and partition, and never changes.

    A log that is not `shared` has one partition and one writer: one thread of one process. To a shared one any
    process may append, and state follows what is read from it, never what was appended. A log with several partitions
    is read partition by partition (`partition`); the events of one visitor are all in one of them, and `item_events` is never
    divided, since rules and lists name items.

    Attributes:
        shared: whether other processes may append too.
        partitions: of `user_events` and `feedback`.
    """

    shared: bool
    partitions: int

    def partition(self, number: int) -> Log:
        """Return one partition, to read from; `item_events` is in partition 0."""
        ...

    def append(self, batches: Mapping[Topic, Sequence[Record]]) -> dict[Topic, Ends]:
        """Append to several topics at once: all of it is durable on return, or nothing of it was acknowledged.

        Returns:
            Where each topic's records end, by the partitions that they went to.

        Raises:
            StoreUnavailableError: disk full, locked, out of reach. Where the log is not shared nothing was written; a shared
                one may hold some of it, which the ids of events make harmless.
        """
        ...

    def tail(self, at: Mapping[Position, int]) -> Tail:
        """Return a reader of what comes from these offsets on."""
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
        """Drop what is below offset `before`, as far as whole batches go; return how many records went."""
        ...

    def close(self) -> None:
        """Let go of files, connections and locks. Closing twice is fine."""
        ...


@runtime_checkable
class Movable(Protocol):
    """A log whose end can be moved, so that a bulk import may go to the lake alone."""

    def set_end(self, topic: Topic, offset: int) -> None:
        """Move the end forward: after a bulk import into the lake, or where the lake outlived the log's tail.

        Raises:
            NearlineError: `offset` is below the end.
        """
        ...


class Group(Protocol):
    """One of several processes that share the partitions of `user_events` out; a partition has one owner at a time."""

    def next(self, seconds: float) -> list[Page]:
        """Return what has come to the partitions that are ours, waiting up to `seconds`; partitions change hands in here."""
        ...

    def seek(self, starts: Mapping[int, int]) -> None:
        """Go on from other offsets, in partitions that are ours."""
        ...

    def commit(self, ends: Mapping[int, int]) -> None:
        """Remember durably how far partitions are done; of one that is no longer ours nothing is remembered."""
        ...

    def close(self) -> None:
        """Leave the group, so that others take over at once."""
        ...


@runtime_checkable
class Grouped(Protocol):
    """A log whose partitions can be shared out."""

    def group(self, name: str, given: Callable[[dict[int, int]], None], taken: Callable[[list[int]], None]) -> Group:
        """Join a group.

        Args:
            name: of the group.
            given: called with partitions that are ours from now on, and where each goes on.
            taken: called with partitions that are another's from now on.
        """
        ...


def routed(batches: Mapping[Topic, Sequence[Record]], partitions: int) -> list[tuple[Topic, int, list[Record]]]:
    """Return batches by topic and partition, each in order."""
    out: dict[Position, list[Record]] = {}
    for topic, records in batches.items():
        if topic == "item_events" or partitions == 1:
            parts = [list(records)]
        else:
            parts = [[] for _ in range(partitions)]
            for record in records:
                parts[partition_of(visitor_key(record.user_id, record.session_id), partitions)].append(record)
        out |= {(topic, number): part for number, part in enumerate(parts) if part}
    return [(topic, place, records) for (topic, place), records in out.items()]
