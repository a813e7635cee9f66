"""Top items: the items a visitor touches most.

Sixteen are kept with the space-saving rule (Metwally et al. 2005): a count is too high by at most the least one kept, which is
at most a sixteenth of all touches; while a visitor has touched no more than sixteen different items, all counts are exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32
from nearline.schema.components import ALL_EXPIRED, Entity, Fold, FoldBatch, ReadContext, Rows, Tier
from nearline.schema.event import EVENT, Events, Role
from nearline.schema.kernel import f4, i4, kernel, record, u1, u8

EXPOSURE, SEARCH = int(Role.EXPOSURE), int(Role.SEARCH)
KEPT = 16
MOST = (1 << 31) - 1
TOP_ITEMS: np.dtype[np.void] = np.dtype([("items", "<u8", (KEPT,)), ("counts", "<i4", (KEPT,))])
"""Item keys, 0 for none, and how often each was touched."""


@kernel(record(TOP_ITEMS, packed=True), i4[::1], record(EVENT), u1[::1])
def _update(rows: Any, users: I32, events: Events, reset: NDArray[np.uint8]) -> None:
    for i in range(len(users)):
        if users[i] < 0:
            continue
        row = rows[users[i]]
        if reset[i] >= ALL_EXPIRED:
            for j in range(KEPT):
                row.items[j] = 0
                row.counts[j] = 0
        event: Any = events[i]
        if event.item == 0 or event.role == EXPOSURE or event.role == SEARCH:
            continue
        place = 0
        for j in range(KEPT):
            if row.items[j] == event.item:
                place = j
                break
            if row.counts[j] < row.counts[place]:
                place = j
        row.items[place] = event.item
        row.counts[place] = min(MOST, row.counts[place] + 1)


class TopItemsFold:
    """The sixteen items touched most (192 bytes)."""

    name = "top_items"
    entity: Entity = "user"
    tier: Tier = "history"
    dtype = TOP_ITEMS

    def update(self, rows: Rows, batch: FoldBatch) -> None:
        """Count each touch; a newcomer takes the place and the count of the least."""
        _update(rows, batch.users, batch.events, batch.reset)


@kernel(record(TOP_ITEMS), i4[::1], u8[::1], f4[:, ::1])
def _read(rows: Any, items: I32, keys: NDArray[np.uint64], out: F32) -> None:
    row = rows[0]
    out[:] = 0.0
    total = np.int64(0)
    for j in range(KEPT):
        total += row.counts[j]
    if total == 0:
        return
    for i in range(len(items)):
        own = keys[items[i]]
        for j in range(KEPT):
            if row.items[j] == own:
                above = 0
                for k in range(KEPT):
                    above += int(row.counts[k] > row.counts[j])
                out[0, i] = row.counts[j] / total
                out[1, i] = 1.0 / (above + 1)


class TopItemsFeature:
    """The candidate's share of what the visitor touched, and 1 / its rank among his sixteen favourites."""

    name = "top_items"
    columns = ("top_item_share", "top_item_rank")
    time_based = False
    default = False

    def __init__(self) -> None:
        self.folds: tuple[Fold, ...] = (TopItemsFold(),)

    def read(self, context: ReadContext, out: F32) -> None:
        """Fill `[2, n] float32`; 0 where it is none of them."""
        _read(context.user.rows["top_items"], context.candidates.items, context.columns.key, out)
