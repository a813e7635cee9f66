"""First items: what a visitor came for, the first five different items he touched; exact."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32
from nearline.schema.components import ALL_EXPIRED, Entity, Fold, FoldBatch, ReadContext, Rows, Tier
from nearline.schema.event import EVENT, Events, Role
from nearline.schema.kernel import f4, i4, kernel, record, u1, u4, u8

EXPOSURE, SEARCH = int(Role.EXPOSURE), int(Role.SEARCH)
KEPT = 5
FIRST_ITEMS: np.dtype[np.void] = np.dtype([("items", "<u8", (KEPT,)), ("categories", "<u4", (KEPT,)), ("n", "<u4")])
"""Item keys and their categories, in order of arrival; n: how many."""


@kernel(record(FIRST_ITEMS, packed=True), i4[::1], record(EVENT), u1[::1])
def _update(rows: Any, users: I32, events: Events, reset: NDArray[np.uint8]) -> None:
    for i in range(len(users)):
        if users[i] < 0:
            continue
        row = rows[users[i]]
        if reset[i] >= ALL_EXPIRED:
            for j in range(KEPT):
                row.items[j] = 0
                row.categories[j] = 0
            row.n = 0
        event: Any = events[i]
        if row.n == KEPT or event.item == 0 or event.role == EXPOSURE or event.role == SEARCH:
            continue
        known = False
        for j in range(row.n):
            known = known or row.items[j] == event.item
        if not known:
            row.items[row.n] = event.item
            row.categories[row.n] = event.category
            row.n += 1


class FirstItemsFold:
    """The first five different items touched, with their categories (64 bytes)."""

    name = "first_items"
    entity: Entity = "user"
    tier: Tier = "history"
    dtype = FIRST_ITEMS

    def update(self, rows: Rows, batch: FoldBatch) -> None:
        """Keep what comes while there is room."""
        _update(rows, batch.users, batch.events, batch.reset)


@kernel(record(FIRST_ITEMS), i4[::1], u8[::1], u4[::1], f4[:, ::1])
def _read(rows: Any, items: I32, keys: NDArray[np.uint64], category: NDArray[np.uint32], out: F32) -> None:
    row = rows[0]
    out[:] = 0.0
    n = np.int64(row.n)
    for i in range(len(items)):
        key, own = keys[items[i]], category[items[i]]
        same = 0
        for j in range(n):
            if row.items[j] == key:
                out[0, i] = 1.0
            same += int(own != 0 and row.categories[j] == own)
        if n > 0:
            out[1, i] = same / n


class FirstItemsFeature:
    """Whether the candidate is one of the visitor's first five items, and the share of them in its category."""

    name = "first_items"
    columns = ("first_item", "first_category_share")
    time_based = False
    default = False

    def __init__(self) -> None:
        self.folds: tuple[Fold, ...] = (FirstItemsFold(),)

    def read(self, context: ReadContext, out: F32) -> None:
        """Fill `[2, n] float32`."""
        columns = context.columns
        _read(context.user.rows["first_items"], context.candidates.items, columns.key, columns.category, out)
