"""Presence: when a visitor was last here, and so which of his rows have expired.

Expiry is a pure function of (row time, event or request time), in event time; physical eviction is invisible.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import I32
from nearline.schema.components import ALL_EXPIRED, HOT_EXPIRED, KEEP, Rows
from nearline.schema.event import EVENT, Events
from nearline.schema.kernel import i4, i8, kernel, record, u1

PRESENCE: np.dtype[np.void] = np.dtype([("offset", "<i8"), ("last", "<i8")])
"""Head of the hot row. offset: last event folded, -1 for none; last: greatest event time, ms UTC, 0 for never."""


@kernel(record(PRESENCE, packed=True), i4[::1], record(EVENT), i8, i8, u1[::1])
def _touch(rows: Rows, slots: I32, events: Events, hot_ttl: int, history_ttl: int, reset: NDArray[np.uint8]) -> None:
    for i in range(len(slots)):
        slot = slots[i]
        reset[i] = KEEP
        if slot < 0:
            continue
        row = rows[slot]
        ts = events[i].ts
        if row.last > 0:
            if ts - row.last > history_ttl:
                reset[i] = ALL_EXPIRED
            elif ts - row.last > hot_ttl:
                reset[i] = HOT_EXPIRED
        row.last = max(row.last, ts)
        row.offset = events[i].offset


def touch(rows: Rows, slots: I32, events: Events, hot_ttl: int, history_ttl: int) -> NDArray[np.uint8]:
    """Move presence rows and say which rows had expired before each event.

    Args:
        rows: `[n_slots] PRESENCE`, changed in place.
        slots: visitors, `[n] int32`, -1 for none.
        events: `[n] EVENT`.
        hot_ttl: ms after which the hot row is gone.
        history_ttl: ms after which everything is gone.

    Returns:
        `[n] uint8`: KEEP, HOT_EXPIRED or ALL_EXPIRED.
    """
    reset = np.empty(len(slots), np.uint8)
    _touch(rows, slots, events, hot_ttl, history_ttl, reset)
    return reset


def expired(last: int, now: int, hot_ttl: int, history_ttl: int) -> int:
    """Return KEEP, HOT_EXPIRED or ALL_EXPIRED at `now` for who was here `last` (both ms UTC; 0: never)."""
    idle = now - last
    return ALL_EXPIRED if last == 0 or idle > history_ttl else HOT_EXPIRED if idle > hot_ttl else KEEP
