"""Totals: an item's counts, ratings and last event, over all time; and a visitor's means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32
from nearline.schema.components import ALL_EXPIRED, Entity, Fold, FoldBatch, ItemColumns, ItemFeature, ReadContext, Rows, Tier
from nearline.schema.event import EVENT, ROLES, Events, Role
from nearline.schema.kernel import f4, i4, kernel, record, u1

CLICK = int(Role.CLICK)
ITEM_TOTALS: np.dtype[np.void] = np.dtype(
    [("counts", "<i4", (ROLES,)), ("ratings", "<i4"), ("pad", "<i4"), ("rating", "<i8"), ("last", "<i8")]
)
"""counts by role; ratings: how many; rating: their sum in hundredths; last: of any event, ms UTC."""
USER_TOTALS: np.dtype[np.void] = np.dtype([("rating", "<i8"), ("value", "<i8"), ("ratings", "<i4"), ("values", "<i4")])
"""Sums of ratings (hundredths) and values (thousandths), and how many."""


@kernel(record(ITEM_TOTALS), i4[::1], record(EVENT))
def _update_items(rows: Any, slots: I32, events: Events) -> None:
    for i in range(len(slots)):
        if slots[i] < 0:
            continue
        event: Any = events[i]
        row = rows[slots[i]]
        if 1 <= event.role <= ROLES:
            row.counts[event.role - 1] += 1
        if event.rating > 0:
            row.ratings += 1
            row.rating += event.rating
        row.last = max(row.last, event.ts)


class ItemTotalsFold:
    """All-time counts of an item (48 bytes); sums and maxima, so commutative."""

    name = "item_totals"
    entity: Entity = "item"
    tier: Tier = "history"
    dtype = ITEM_TOTALS

    def update(self, rows: Rows, batch: FoldBatch) -> None:
        """Count each event of the item."""
        _update_items(rows, batch.items, batch.events)


@kernel(record(USER_TOTALS, packed=True), i4[::1], record(EVENT), u1[::1])
def _update_users(rows: Any, slots: I32, events: Events, reset: NDArray[np.uint8]) -> None:
    for i in range(len(slots)):
        if slots[i] < 0:
            continue
        event: Any = events[i]
        row = rows[slots[i]]
        if reset[i] >= ALL_EXPIRED:
            row.rating = 0
            row.value = 0
            row.ratings = 0
            row.values = 0
        if event.rating > 0:
            row.rating += event.rating
            row.ratings += 1
        if event.value != 0:
            row.value += event.value
            row.values += 1


class UserTotalsFold:
    """Sums and numbers of a visitor's ratings and event values (24 bytes)."""

    name = "user_totals"
    entity: Entity = "user"
    tier: Tier = "history"
    dtype = USER_TOTALS

    def update(self, rows: Rows, batch: FoldBatch) -> None:
        """Add each event's rating and value."""
        _update_users(rows, batch.users, batch.events, batch.reset)


@kernel(record(ITEM_TOTALS), i4[::1], f4[:, ::1])
def _read_items(rows: Any, items: I32, out: F32) -> None:
    for i in range(len(items)):
        row = rows[items[i]]
        total = 0
        for r in range(1, ROLES):
            total += row.counts[r]
        out[0, i] = total
        out[1, i] = row.counts[CLICK - 1]
        out[2, i] = row.counts[CLICK]
        out[3, i] = row.counts[CLICK + 1]
        out[4, i] = row.rating / 100.0 / row.ratings if row.ratings > 0 else np.nan
        out[5, i] = row.ratings


class ItemTotalsFeature(ItemFeature):
    """An item's touches, clicks, intents and conversions of all time, and its mean rating."""

    name = "item_totals"
    columns = ("item_touches", "item_clicks", "item_intents", "item_conversions", "item_rating", "item_ratings")
    time_based = False

    def __init__(self) -> None:
        self.folds: tuple[Fold, ...] = (ItemTotalsFold(),)

    def read_items(self, rows: Mapping[str, Rows], columns: ItemColumns, slots: I32, now: int, out: F32) -> None:
        """Fill `[6, n] float32`; the rating is NaN where there is none."""
        _read_items(rows["item_totals"], slots, out)


@kernel(record(USER_TOTALS), f4[:, ::1])
def _read_user(rows: Any, out: F32) -> None:
    row = rows[0]
    out[0, :] = row.rating / 100.0 / row.ratings if row.ratings > 0 else np.nan
    out[1, :] = row.value / 1000.0 / row.values if row.values > 0 else np.nan


class UserTotalsFeature:
    """The visitor's mean rating and mean event value; the same for every candidate."""

    name = "user_totals"
    columns = ("user_rating", "user_value")
    time_based = False

    def __init__(self) -> None:
        self.folds: tuple[Fold, ...] = (UserTotalsFold(),)

    def read(self, context: ReadContext, out: F32) -> None:
        """Fill `[2, n] float32`; NaN where there is nothing to average."""
        _read_user(context.user.rows["user_totals"], out)
