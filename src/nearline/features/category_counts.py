"""Category counts: a visitor's clicks, intents and conversions in each of the eight categories he touched last."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32
from nearline.schema.components import ALL_EXPIRED, Entity, Fold, FoldBatch, ReadContext, Rows, Tier
from nearline.schema.event import EVENT, Events, Role
from nearline.schema.kernel import f4, i4, kernel, record, u1, u4

EXPOSURE, SEARCH, CLICK, CONVERSION = (int(role) for role in (Role.EXPOSURE, Role.SEARCH, Role.CLICK, Role.CONVERSION))
KEPT, COUNTED = 8, 3
CATEGORY_COUNTS: np.dtype[np.void] = np.dtype([("categories", "<u4", (KEPT,)), ("counts", "<u2", (KEPT, COUNTED))])
"""Category keys, the one touched last at the front, 0 for none; clicks, intents, conversions, each at most 65,535."""


@kernel(record(CATEGORY_COUNTS, packed=True), i4[::1], record(EVENT), u1[::1])
def _update(rows: Any, users: I32, events: Events, reset: NDArray[np.uint8]) -> None:
    own = np.zeros(COUNTED, np.uint16)
    for i in range(len(users)):
        if users[i] < 0:
            continue
        row = rows[users[i]]
        if reset[i] >= ALL_EXPIRED:
            for j in range(KEPT):
                row.categories[j] = 0
                for c in range(COUNTED):
                    row.counts[j, c] = 0
        event: Any = events[i]
        if event.item == 0 or event.category == 0 or event.role == EXPOSURE or event.role == SEARCH:
            continue
        place = 0
        while place < KEPT - 1 and row.categories[place] != event.category:
            place += 1
        known = row.categories[place] == event.category
        for c in range(COUNTED):
            own[c] = row.counts[place, c] if known else 0
        # To the front; the others move back, and where it is new the one touched longest ago is gone.
        for j in range(place, 0, -1):
            row.categories[j] = row.categories[j - 1]
            for c in range(COUNTED):
                row.counts[j, c] = row.counts[j - 1, c]
        if CLICK <= event.role <= CONVERSION and own[event.role - CLICK] < 65535:
            own[event.role - CLICK] += 1
        row.categories[0] = event.category
        for c in range(COUNTED):
            row.counts[0, c] = own[c]


class CategoryCountsFold:
    """Counts by role in the eight categories touched last (80 bytes)."""

    name = "category_counts"
    entity: Entity = "user"
    tier: Tier = "history"
    dtype = CATEGORY_COUNTS

    def update(self, rows: Rows, batch: FoldBatch) -> None:
        """Count each touch in its item's category."""
        _update(rows, batch.users, batch.events, batch.reset)


@kernel(record(CATEGORY_COUNTS), i4[::1], u4[::1], f4[:, ::1])
def _read(rows: Any, items: I32, category: NDArray[np.uint32], out: F32) -> None:
    row = rows[0]
    out[:] = 0.0
    for j in range(KEPT):
        key = row.categories[j]
        if key == 0:
            break
        for i in range(len(items)):
            if category[items[i]] == key:
                for c in range(COUNTED):
                    out[c, i] = row.counts[j, c]


class CategoryCountsFeature:
    """The visitor's clicks, intents and conversions in the candidate's category."""

    name = "category_counts"
    columns = ("category_clicks", "category_intents", "category_conversions")
    time_based = False

    def __init__(self) -> None:
        self.folds: tuple[Fold, ...] = (CategoryCountsFold(),)

    def read(self, context: ReadContext, out: F32) -> None:
        """Fill `[3, n] float32`; exact for the eight categories touched last, 0 for others."""
        _read(context.user.rows["category_counts"], context.candidates.items, context.columns.category, out)
