"""Who was here last: the users of the newest events, from the log's tail and, where that is short, the lake's."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from nearline.schema.event import ERASE
from nearline.stores.lake import Lake
from nearline.stores.log import Log

LOOKED_AT = 4_000
"""Events at the end of each that are looked at."""


class RecentUser(msgspec.Struct, frozen=True):
    """A user of late: time of the last event, ms UTC, and events among those looked at."""

    user_id: str
    last_seen: int
    events: int


def recent_users(log: Log, lake: Lake, limit: int) -> list[RecentUser]:
    """Return the users of the newest events, the latest first; anonymous visitors and who was erased are left out."""
    found = [user for number in range(log.partitions) for user in _recent(log.partition(number), lake.partition(number), limit)]
    return sorted(found, key=lambda user: -user.last_seen)[:limit] if log.partitions > 1 else found


def _recent(log: Log, lake: Lake, limit: int) -> list[RecentUser]:
    last: dict[str, int] = {}
    events: dict[str, int] = {}
    erased: set[str] = set()
    for user_id, event_type, timestamp in _newest_first(log, lake, limit, last):
        if event_type == ERASE:
            erased.add(user_id)
        elif user_id and user_id not in erased:
            last.setdefault(user_id, timestamp)
            events[user_id] = events.get(user_id, 0) + 1
    return [RecentUser(user_id, seen, events[user_id]) for user_id, seen in list(last.items())[:limit]]


def _newest_first(log: Log, lake: Lake, limit: int, found: dict[str, int]) -> Iterator[tuple[str, str, int]]:
    end = log.end("user_events")
    first, records = log.read("user_events", max(0, end - LOOKED_AT), LOOKED_AT)
    yield from ((record.user_id, record.event_type, record.timestamp) for record in reversed(records))
    if len(found) >= limit or lake.objects.remote:  # no page waits for a network
        return
    start = min(first if records else end, lake.end("user_events"))
    names = ("user_id", "event_type", "timestamp")
    tables = list(lake.scan("user_events", max(0, start - LOOKED_AT), start, names))
    for table in reversed(tables):
        rows = zip(*(table[name].to_pylist() for name in names), strict=True)
        yield from reversed(list(rows))
