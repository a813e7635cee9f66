"""Windowed counts by role, in tiles of time: 24 hours in the hot row, 7 days in the history and for items.

An event goes to the tile of its own timestamp, or is dropped when that tile has left the window. The newest tile seen
decides the window, so the result does not depend on the order of arrival.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32
from nearline.schema.clock import DAY, HOUR
from nearline.schema.components import Entity, Fold, FoldBatch, ReadContext, Rows, Tier
from nearline.schema.event import EVENT, ROLES, Events
from nearline.schema.kernel import f4, i4, i8, kernel, record, u1, u2


@kernel(i4[:], u2[:, :, :], i4[::1], record(EVENT), u1[::1], i8, i8)
def _update(
    heads: I32,
    tiles: NDArray[np.uint16],
    slots: I32,
    events: Events,
    reset: NDArray[np.uint8],
    expires: int,
    width: int,
) -> None:
    n = tiles.shape[1]
    for i in range(len(slots)):
        slot = slots[i]
        if slot < 0:
            continue
        event: Any = events[i]
        if expires > 0 and reset[i] >= expires:
            heads[slot] = 0
            tiles[slot, :, :] = 0
        role = event.role
        if role < 1 or role > ROLES:
            continue
        tile = event.ts // width
        head = heads[slot]
        if head == 0:
            heads[slot] = tile
        elif tile > head:
            for t in range(max(head + 1, tile - n + 1), tile + 1):
                tiles[slot, t % n, :] = 0
            heads[slot] = tile
        elif tile <= head - n:
            continue
        if tiles[slot, tile % n, role - 1] < 65535:
            tiles[slot, tile % n, role - 1] += 1


@kernel(i4[:], u2[:, :, :], i4[::1], i8, i8, f4[:, ::1])
def _read(heads: I32, tiles: NDArray[np.uint16], slots: I32, now: int, width: int, out: F32) -> None:
    n = tiles.shape[1]
    current = now // width
    for i in range(len(slots)):
        slot = slots[i]
        head = heads[slot]
        for r in range(ROLES):
            out[r, i] = 0.0
        if head == 0:
            continue
        for t in range(max(head - n + 1, current - n + 1), head + 1):
            for r in range(ROLES):
                out[r, i] += tiles[slot, t % n, r]


class WindowedCountsFold:
    """Counts by role in `tiles` tiles of `width` ms; each count saturates at 65,535 a tile."""

    def __init__(self, name: str, entity: Entity, tier: Tier, width: int, tiles: int) -> None:
        self.name, self.entity, self.tier, self.width = name, entity, tier, width
        self.dtype: np.dtype[np.void] = np.dtype([("head", "<i4"), ("tiles", "<u2", (tiles, ROLES))])
        self.expires = 0 if entity == "item" else 1 if tier == "hot" else 2

    def update(self, rows: Rows, batch: FoldBatch) -> None:
        """Count each event in the tile of its own time."""
        slots = batch.items if self.entity == "item" else batch.users
        _update(rows["head"], rows["tiles"], slots, batch.events, batch.reset, self.expires, self.width)

    def read(self, rows: Rows, slots: I32, now: int) -> F32:
        """Return the window's sums at `now`, `[ROLES, n_slots] float32`."""
        out = np.empty((ROLES, len(slots)), np.float32)
        _read(rows["head"], rows["tiles"], slots, now, self.width, out)
        return out


ZERO = np.zeros(1, np.int32)


class UserCountsFeature:
    """A visitor's views, clicks, intents and negatives in 24 hours, and clicks, intents, conversions in 7 days."""

    name = "user_counts"
    columns = (
        "user_views_1d",
        "user_clicks_1d",
        "user_intents_1d",
        "user_negatives_1d",
        "user_clicks_7d",
        "user_intents_7d",
        "user_conversions_7d",
    )
    time_based = True

    def __init__(self) -> None:
        self.day = WindowedCountsFold("user_counts_1d", "user", "hot", 4 * HOUR, 7)
        self.week = WindowedCountsFold("user_counts_7d", "user", "history", DAY, 8)
        self.folds: tuple[Fold, ...] = (self.day, self.week)

    def read(self, context: ReadContext, out: F32) -> None:
        """Fill `[7, n] float32`, the same for every candidate."""
        now = context.query.now
        day = self.day.read(context.user.rows[self.day.name], ZERO, now)
        week = self.week.read(context.user.rows[self.week.name], ZERO, now)
        out[:4] = day[[1, 2, 3, 5]]
        out[4:] = week[2:5]


@kernel(i4[:], u2[:, :, :], i4[::1], i8, i8, i8, f4[:, ::1])
def _read_item(heads: I32, tiles: NDArray[np.uint16], slots: I32, now: int, width: int, ttl: int, out: F32) -> None:
    n = tiles.shape[1]
    current = now // width
    sums = np.empty(ROLES, np.int64)
    # What a place of the ring holds for every item whose newest tile is not beyond the current one.
    held = np.empty(n, np.int64)
    for place in range(n):
        held[place] = current - (current - place) % n
    for i in range(len(slots)):
        slot = slots[i]
        head = np.int64(heads[slot])
        sums[:] = 0
        if head > 0 and (head + 1) * width >= now - ttl:
            for place in range(n):
                if head > current or held[place] <= head:
                    for r in range(ROLES):
                        sums[r] += tiles[slot, place, r]
        for r in range(ROLES):
            out[r, i] = sums[r]
        # Smoothed towards 5 % with the weight of 20 exposures (a Beta prior), so that a new item is neither 0 nor 1.
        out[6, i] = (sums[2] + 1.0) / (sums[0] + 20.0)
        out[7, i] = (sums[4] + 0.2) / (sums[1] + sums[2] + 20.0)


class ItemCountsFeature:
    """An item's counts by role in 7 days, its smoothed click and conversion rates.

    `ttl`: ms without an event after which they are gone; `[state] item_ttl_days` sets it.
    """

    name = "item_counts"
    columns = (
        "item_exposures_7d",
        "item_views_7d",
        "item_clicks_7d",
        "item_intents_7d",
        "item_conversions_7d",
        "item_negatives_7d",
        "item_ctr_7d",
        "item_cvr_7d",
    )
    time_based = True

    def __init__(self) -> None:
        self.ttl = 7 * DAY
        self.week = WindowedCountsFold("item_counts_7d", "item", "hot", DAY, 8)
        self.folds: tuple[Fold, ...] = (self.week,)

    def read(self, context: ReadContext, out: F32) -> None:
        """Fill `[8, n] float32`."""
        rows = context.rows[self.week.name]
        _read_item(rows["head"], rows["tiles"], context.candidates.items, context.query.now, DAY, self.ttl, out)
