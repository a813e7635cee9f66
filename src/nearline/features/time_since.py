"""Time since: when a visitor last clicked, intended, bought; and when he last bought in the candidate's category."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32
from nearline.schema.components import ALL_EXPIRED, Entity, Fold, FoldBatch, ReadContext, Rows, Tier
from nearline.schema.event import EVENT, ROLES, Events, Role
from nearline.schema.kernel import f4, i4, i8, kernel, record, u1, u4

CLICK, CONVERSION = int(Role.CLICK), int(Role.CONVERSION)


@kernel(i8[:, :], u4[:, :], i8[:, :], i4[::1], record(EVENT), u1[::1])
def _update(
    last: NDArray[np.int64],
    categories: NDArray[np.uint32],
    bought: NDArray[np.int64],
    users: I32,
    events: Events,
    reset: NDArray[np.uint8],
) -> None:
    n = categories.shape[1]
    for i in range(len(users)):
        slot = users[i]
        if slot < 0:
            continue
        if reset[i] >= ALL_EXPIRED:
            last[slot, :] = 0
            categories[slot, :] = 0
            bought[slot, :] = 0
        event: Any = events[i]
        role = event.role
        if role < 1 or role > ROLES:
            continue
        last[slot, role - 1] = max(last[slot, role - 1], event.ts)
        if role != CONVERSION or event.category == 0:
            continue
        place = 0
        for j in range(n):
            if categories[slot, j] == event.category:
                place = j
                break
            if bought[slot, j] < bought[slot, place]:
                place = j
        if categories[slot, place] == event.category:
            bought[slot, place] = max(bought[slot, place], event.ts)
        elif event.ts >= bought[slot, place]:
            categories[slot, place] = event.category
            bought[slot, place] = event.ts


TIME_SINCE: np.dtype[np.void] = np.dtype([("last", "<i8", (ROLES,)), ("categories", "<u4", (4,)), ("bought", "<i8", (4,))])
"""last: by role; categories: those bought in last, and when; all ms UTC, 0 for never."""


class TimeSinceFold:
    """The last time by role, and the four categories bought in last with their times (96 bytes)."""

    name = "time_since"
    entity: Entity = "user"
    tier: Tier = "history"
    dtype = TIME_SINCE

    def update(self, rows: Rows, batch: FoldBatch) -> None:
        """Move each role's time to max(row, event)."""
        _update(rows["last"], rows["categories"], rows["bought"], batch.users, batch.events, batch.reset)


@kernel(record(TIME_SINCE), i8, i4[::1], u4[::1], f4[:, ::1])
def _read(rows: Any, now: int, items: I32, category: NDArray[np.uint32], out: F32) -> None:
    row = rows[0]
    for r in range(3):
        last = row.last[CLICK - 1 + r]
        out[r, :] = np.float32((now - last) / 3600000.0) if last > 0 else np.float32(np.nan)
    own = np.empty(len(items), np.uint32)
    for i in range(len(items)):
        own[i] = category[items[i]]
        out[3, i] = np.nan
    for j in range(len(row.categories)):
        bought, hours = row.categories[j], np.float32((now - row.bought[j]) / 3600000.0)
        if bought != 0:
            for i in range(len(items)):
                out[3, i] = hours if own[i] == bought else out[3, i]


class TimeSinceFeature:
    """Hours since the last click, intent and conversion, and since a purchase in the candidate's category."""

    name = "time_since"
    columns = ("since_click", "since_intent", "since_conversion", "since_category_purchase")
    time_based = True

    def __init__(self) -> None:
        self.folds: tuple[Fold, ...] = (TimeSinceFold(),)

    def read(self, context: ReadContext, out: F32) -> None:
        """Fill `[4, n] float32`; NaN for never."""
        row = context.user.rows["time_since"]
        _read(row, context.query.now, context.candidates.items, context.columns.category, out)
