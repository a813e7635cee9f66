"""Last items: the five a visitor touched last, newest first, in the hot row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32
from nearline.schema.components import Entity, Fold, FoldBatch, ReadContext, Rows, Tier
from nearline.schema.event import EVENT, Events, Role
from nearline.schema.kernel import f4, i4, kernel, record, u1, u4, u8

EXPOSURE, SEARCH = int(Role.EXPOSURE), int(Role.SEARCH)


@kernel(u8[:, :], u4[:, :], i4[::1], i4[::1], record(EVENT), u1[::1])
def _update(
    items: NDArray[np.uint64],
    categories: NDArray[np.uint32],
    users: I32,
    item_slots: I32,
    events: Events,
    reset: NDArray[np.uint8],
) -> None:
    n = items.shape[1]
    for i in range(len(users)):
        slot = users[i]
        if slot < 0:
            continue
        if reset[i] > 0:
            items[slot, :] = 0
            categories[slot, :] = 0
        event: Any = events[i]
        if item_slots[i] < 0 or event.role == EXPOSURE or event.role == SEARCH:
            continue
        if items[slot, 0] == event.item:
            continue
        for j in range(n - 1, 0, -1):
            items[slot, j] = items[slot, j - 1]
            categories[slot, j] = categories[slot, j - 1]
        items[slot, 0] = event.item
        categories[slot, 0] = event.category


class LastItemsFold:
    """The last `n` different items in a row that a visitor touched (not merely saw), newest first.

    Args:
        n: how many, 5 by default (12 bytes each).
    """

    name = "last_items"
    entity: Entity = "user"
    tier: Tier = "hot"

    def __init__(self, n: int = 5) -> None:
        self.dtype: np.dtype[np.void] = np.dtype([("items", "<u8", (n,)), ("categories", "<u4", (n,))])

    def update(self, rows: Rows, batch: FoldBatch) -> None:
        """Push each touched item to the front of its visitor's row."""
        _update(rows["items"], rows["categories"], batch.users, batch.items, batch.events, batch.reset)


@kernel(u8[:, ::1], u4[:, ::1], i4[::1], u4[::1], f4[:, ::1])
def _read(touched: NDArray[np.uint64], recent: NDArray[np.uint32], items: I32, category: NDArray[np.uint32], out: F32) -> None:
    # By item, not by category: an item without one takes its place among the last too.
    n = 0
    for j in range(touched.shape[1]):
        if touched[0, j] != 0:
            n += 1
    own = np.empty(len(items), np.uint32)
    for i in range(len(items)):
        own[i] = category[items[i]]
        out[0, i] = 0.0
        out[1, i] = 0.0
    for j in range(n):
        wanted = recent[0, j]
        if wanted != 0:
            for i in range(len(items)):
                out[0, i] += np.float32(1.0) if own[i] == wanted else np.float32(0.0)
            if j == 0:
                out[1, :] = out[0]
    for i in range(len(items)):
        out[0, i] = out[0, i] / n if n > 0 else np.nan


class LastItemsFeature:
    """How a candidate's category matches the last items: share of them, and whether it is the very last one's."""

    name = "last_items"
    columns = ("last_category_share", "last_category_same")
    time_based = False

    def __init__(self, n: int = 5) -> None:
        self.folds: tuple[Fold, ...] = (LastItemsFold(n),)

    def read(self, context: ReadContext, out: F32) -> None:
        """Fill `[2, n] float32`."""
        row = context.user.rows["last_items"]
        _read(row["items"], row["categories"], context.candidates.items, context.columns.category, out)
