"""Time since: when a visitor last clicked, intended, bought; and when he last bought in the candidate's category."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32
from nearline.schema.components import ALL_EXPIRED, Entity, Fold, FoldBatch, ReadContext, Rows, Tier
from nearline.schema.event import EVENT, ROLES, Events, Role
from nearline.schema.kernel import f4, i4, i8, kernel, record, u1, u4

CONVERSION = int(Role.CONVERSION)


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


class TimeSinceFold:
    """The last time by role (ms UTC), and the four categories bought in last with their times."""

    name = "time_since"
    entity: Entity = "user"
    tier: Tier = "history"

    def __init__(self, categories: int = 4) -> None:
        self.dtype: np.dtype[np.void] = np.dtype(
            [("last", "<i8", (ROLES,)), ("categories", "<u4", (categories,)), ("bought", "<i8", (categories,))]
        )

    def update(self, rows: Rows, batch: FoldBatch) -> None:
        """Move each role's time to max(row, event)."""
        _update(rows["last"], rows["categories"], rows["bought"], batch.users, batch.events, batch.reset)


@kernel(i8[::1], u4[::1], i8[::1], i8, i4[::1], u4[::1], f4[:, ::1])
def _read(
    last: NDArray[np.int64],
    categories: NDArray[np.uint32],
    bought: NDArray[np.int64],
    now: int,
    items: I32,
    category: NDArray[np.uint32],
    out: F32,
) -> None:
    for i in range(len(items)):
        for r in range(3):
            out[r, i] = (now - last[r + 2]) / 3600000.0 if last[r + 2] > 0 else np.nan
        own = category[items[i]]
        out[3, i] = np.nan
        for j in range(len(categories)):
            if own != 0 and categories[j] == own:
                out[3, i] = (now - bought[j]) / 3600000.0


class TimeSinceFeature:
    """Hours since the last click, intent and conversion, and since a purchase in the candidate's category."""

    name = "time_since"
    columns = ("since_click", "since_intent", "since_conversion", "since_category_purchase")
    time_based = True

    def __init__(self) -> None:
        self.folds: tuple[Fold, ...] = (TimeSinceFold(),)

    def read(self, context: ReadContext, out: F32) -> None:
        """Fill `[4, n] float32`; NaN for never."""
        row = context.user.rows["time_since"][0]
        items, category = context.candidates.items, context.columns.category
        _read(row["last"], row["categories"], row["bought"], context.query.now, items, category, out)
