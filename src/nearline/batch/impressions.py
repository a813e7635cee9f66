"""Lessons from logged impressions: what was clicked or bought against what was seen and passed over.

What was *seen* is reported (`seen` events). Where it is not, a list teaches as a whole, and how likely each place was looked at
is estimated (`examination`); or else what stands down to the deepest item touched is taken as seen. Outcomes are joined by
request_id within 24 hours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np

from nearline.batch.replaying import Moment
from nearline.batch.teaching import Lesson
from nearline.schema.clock import DAY, SECOND
from nearline.schema.components import Places
from nearline.schema.event import Record, Role
from nearline.schema.ids import keys, visitor_key
from nearline.schema.kinds import Kinds
from nearline.schema.query import MESSAGES, SURFACE_CODES
from nearline.schema.served import Impression

JOIN = DAY
DWELL = 5 * SECOND
"""An item left after less time than this was not what was wanted, ms."""


@dataclass(slots=True)
class _Touches:
    """What became of one list: item to outcomes and how much of each, items seen, items rejected."""

    outcomes: dict[str, dict[int, float]] = field(default_factory=dict)
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
        role, outcome = int(kinds.role[place]), kinds.outcomes.index(place) if place in kinds.outcomes else -1
        left = record.dwell_ms is not None and record.dwell_ms < DWELL and not (outcome >= 0 and kinds.full_dwell[outcome])
        if role == Role.EXPOSURE:
            touch.seen.add(record.item_id)
        elif role == Role.NEGATIVE or left:
            touch.rejected.add(record.item_id)
        elif outcome >= 0:
            own = touch.outcomes.setdefault(record.item_id, {})
            own[outcome] = max(own.get(outcome, 0.0), kinds.share(outcome, record.dwell_ms or 0))
    return found


def impression_lessons(
    feedback: Iterable[Record],
    touched: Mapping[str, _Touches],
    kinds: Kinds,
    after: int,
    until: int,
    erased: Mapping[int, int] | None = None,
    whole: bool = False,
    seed: int = 0,
) -> list[Lesson]:
    """Return lessons from impressions made in (after, until] (ms UTC), in order of state offset.

    Args:
        erased: when (ms UTC) a visitor's data was erased; lists up to then teach nothing.
        whole: whether lists of which nobody reported what was seen teach as a whole, not only down to the deepest touch, and
            untouched ones too: as many, drawn by `seed`, as there are touched ones, each standing for several.
    """
    lessons: list[Lesson] = []
    passed: list[tuple[Record, Impression, set[str]]] = []
    taught: set[tuple[str, str]] = set()
    reported = any(touch.seen for touch in touched.values())
    for record in feedback:
        touch = touched.get(record.request_id, _UNTOUCHED)
        if not after < record.timestamp <= until or (touch is _UNTOUCHED and (reported or not whole)):
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
        looked_at = touch.seen or set(shown.items if whole else shown.items[: deepest + 1])
        if deepest >= 0:
            lessons.append(_lesson(record, shown, touch, acted | looked_at, kinds))
        elif whole and shown.surface not in MESSAGES:  # of messages, most are never opened
            passed.append((record, shown, looked_at))
    if passed and lessons:
        drawn = np.random.default_rng(seed).choice(len(passed), min(len(passed), len(lessons)), replace=False)
        share = len(passed) / len(drawn)
        for place in drawn.tolist():
            record, shown, looked_at = passed[place]
            touch = touched.get(record.request_id, _UNTOUCHED)
            lessons.append(replace(_lesson(record, shown, touch, looked_at, kinds), weight=share))
    return lessons


_UNTOUCHED = _Touches()


def _lesson(record: Record, shown: Impression, touch: _Touches, looked_at: AbstractSet[str], kinds: Kinds) -> Lesson:
    """Return what a list teaches of the items that count as looked at."""
    at = [place for place, item in enumerate(shown.items) if item in looked_at]
    items = [shown.items[place] for place in at]
    outcomes = np.zeros((len(at), len(kinds.outcomes)), np.float32)
    for row, item in enumerate(items):
        if item not in touch.rejected:
            for outcome, share in touch.outcomes.get(item, {}).items():
                outcomes[row, outcome] = share
    places = Places(
        np.array(at, np.int32) + 1,
        np.full(len(at), SURFACE_CODES.get(shown.surface, 0), np.uint8),
        np.array([shown.propensities[place] for place in at] if shown.propensities else np.ones(len(at)), np.float32),
        np.array([not touch.seen and item not in touch.rejected for item in items], np.bool_),
    )
    offset = shown.offset if shown.offset >= 0 else -1 - shown.offset
    return Lesson(Moment(offset, shown.query(record)), keys(items), outcomes, True, places)
