"""From the log to the lake, and the log's retention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nearline.schema.clock import Clock
from nearline.schema.errors import NearlineError
from nearline.schema.event import TOPICS, Topic
from nearline.stores.lake import Lake
from nearline.stores.log import Log, Position

CHUNK = 100_000


@dataclass(frozen=True, slots=True)
class ArchiveReport:
    """What one run did.

    Attributes:
        records: archived by this run, by topic.
        ends: where the lake ends now, by topic; the sum of its partitions.
        behind: records that the log held beyond that when the run began, by topic.
    """

    records: dict[Topic, int]
    ends: dict[Topic, int]
    behind: dict[Topic, int]


def archive(log: Log, lake: Lake, clock: Clock, chunk: int = CHUNK, min_records: int = 1, max_age_ms: int = 0) -> ArchiveReport:
    """Copy what the log holds beyond the lake's end; file names say what is done, so nothing repeats.

    Runs beside the writer, with a read-only log.

    Args:
        chunk: records held in memory at once, and so in one file.
        min_records: fewer than this wait for more, so that files don't get too small ...
        max_age_ms: ... unless the first of them was ingested this long ago.

    Raises:
        NearlineError: the lake and the log don't fit together; see `check`.
        StoreUnavailableError: one of them can't be used now; run again.
    """
    report = ArchiveReport(dict.fromkeys(TOPICS, 0), dict.fromkeys(TOPICS, 0), dict.fromkeys(TOPICS, 0))
    for topic, number in places(log):
        done, position, behind = _archive(
            log.partition(number), lake.partition(number), topic, clock, chunk, min_records, max_age_ms
        )
        report.records[topic] += done
        report.ends[topic] += position
        report.behind[topic] += behind
    return report


def places(log: Log) -> list[Position]:
    """Return every topic and partition that a log has."""
    return [(topic, number) for topic in TOPICS for number in range(1 if topic == "item_events" else log.partitions)]


def _archive(
    log: Log, lake: Lake, topic: Topic, clock: Clock, chunk: int, min_records: int, max_age_ms: int
) -> tuple[int, int, int]:
    """Copy one partition of a topic; return how many records went, where the lake ends, and how much is left."""
    archived = lake.end(topic)
    check(log, archived, topic)
    end, done = log.end(topic), 0
    position = archived
    while position < end:
        first, records = log.read(topic, position, min(chunk, end - position))
        if not records:
            break
        waited = clock.now() - records[0].ingested_at
        if len(records) < min_records and waited < max_age_ms:
            break
        position = lake.write(topic, first, records)
        done += len(records)
    return done, position, max(0, end - position)


def archived_ends(log: Log, lake: Lake) -> dict[Position, int]:
    """Return where the lake ends, by topic and partition."""
    return {(topic, number): lake.partition(number).end(topic) for topic, number in places(log)}


def trim_archived(log: Log, archived: Mapping[Position, int], clock: Clock, retention_ms: int) -> dict[Topic, int]:
    """Drop from the log what is archived and was ingested more than `retention_ms` ago; the writer calls it.

    A shared log keeps `item_events` for ever: a server that is added later needs the catalogue whole.

    Args:
        archived: `archived_ends`, asked beside the writer: a lake may be far away.

    Returns:
        The number of records dropped, by topic.

    Raises:
        NearlineError: the lake and the log don't fit together; see `check`.
    """
    trimmed: dict[Topic, int] = dict.fromkeys(TOPICS, 0)
    for (topic, number), end in archived.items():
        if log.shared and topic == "item_events":
            continue
        part = log.partition(number)
        check(part, end, topic)
        trimmed[topic] += part.trim(topic, min(end, part.offset_at(topic, clock.now() - retention_ms)))
    return trimmed


def check(log: Log, archived: int, topic: Topic) -> None:
    """Refuse a log that ends before the lake: its next records would get offsets that are taken.

    Raises:
        NearlineError: it does, because it is new or because a power cut took a relaxed log's tail.
    """
    end = log.end(topic)
    if end < archived:
        remedy = f"the lake already holds {topic} up to {archived}; call set_end on the log"
        raise NearlineError("log end", end, remedy)
