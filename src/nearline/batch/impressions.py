"""Lessons from logged impressions: what was clicked or bought against what was seen and passed over.

What was *seen* is reported (`seen` events), else assumed down to the deepest item touched; a list that nobody touched
teaches nothing. Outcomes are joined by request_id within 24 hours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec
import numpy as np

from nearline.batch.replaying import Moment
from nearline.batch.teaching import Lesson
from nearline.schema.clock import DAY, SECOND
from nearline.schema.event import Record, Role
from nearline.schema.ids import keys, visitor_key
from nearline.schema.kinds import Kinds
from nearline.schema.served import Impression

JOIN = DAY
DWELL = 5 * SECOND
"""An item left after less time than this was not what was wanted, ms."""


@dataclass(slots=True)
class _Touches:
    """What became of one list: item to outcome places, items seen, items rejected."""

    outcomes: dict[str, set[int]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    rejected: set[str] = field(default_factory=set)


def touches(records: Iterable[Record], kinds: Kinds, until: int) -> Mapping[str, _Touches]:
    """Return what became of each list, by request_id, from `user_events` up to `until` (ms UTC)."""
    found: dict[str, _Touches] = {}
    for record in records:
        place = kinds.place(record.event_type)
        if not record.request_id or not record.item_id or record.timestamp > until or place == 0:
            continue
        touch = found.setdefault(record.request_id, _Touches())
        role = int(kinds.role[place])
        if role == Role.EXPOSURE:
            touch.seen.add(record.item_id)
        elif role == Role.NEGATIVE or (record.dwell_ms is not None and record.dwell_ms < DWELL):
            touch.rejected.add(record.item_id)
        elif place in kinds.outcomes:
            touch.outcomes.setdefault(record.item_id, set()).add(kinds.outcomes.index(place))
    return found


def impression_lessons(
    feedback: Iterable[Record],
    touched: Mapping[str, _Touches],
    kinds: Kinds,
    after: int,
    until: int,
    erased: Mapping[int, int] | None = None,
) -> list[Lesson]:
    """Return lessons from impressions made in (after, until] (ms UTC), in order of state offset.

    Args:
        erased: when (ms UTC) a visitor's data was erased; lists up to then teach nothing.
    """
    lessons: list[Lesson] = []
    taught: set[tuple[str, str]] = set()
    for record in feedback:
        touch = touched.get(record.request_id)
        if touch is None or not after < record.timestamp <= until:
            continue
        if (record.request_id, record.context) in taught:
            continue  # a shared log may hold it twice, where it took it and could not say so
        taught.add((record.request_id, record.context))
        visitor = visitor_key(record.user_id, record.session_id)
        if erased and record.timestamp <= erased.get(visitor, -1):
            continue
        shown = msgspec.json.decode(record.context, type=Impression)
        acted = set(touch.outcomes) | touch.rejected
        deepest = max((rank for rank, item in enumerate(shown.items) if item in acted), default=-1)
        if deepest < 0:
            continue
        looked_at = touch.seen or set(shown.items[: deepest + 1])
        seen = [item for item in shown.items if item in acted or item in looked_at]
        outcomes = np.zeros((len(seen), len(kinds.outcomes)), np.float32)
        for row, item in enumerate(seen):
            if item not in touch.rejected:
                outcomes[row, list(touch.outcomes.get(item, ()))] = 1.0
        offset = shown.offset if shown.offset >= 0 else -1 - shown.offset
        query = shown.query(record)
        lessons.append(Lesson(Moment(offset, query, len(lessons)), keys(seen), outcomes, True))
    return lessons
