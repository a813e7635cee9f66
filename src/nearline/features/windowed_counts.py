"""Windowed counts by role, in tiles of time: 24 hours in the hot row, 7 days in the history and for items.

An event goes to the tile of its own timestamp, or is dropped when that tile has left the window. The newest tile seen
decides the window, so the result does not depend on the order of arrival.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32
from nearline.schema.clock import DAY, HOUR
from nearline.schema.components import Entity, Fold, FoldBatch, ItemColumns, ItemFeature, ReadContext, Rows, Tier
from nearline.schema.event import EVENT, ROLES, Events, Role
from nearline.schema.kernel import f4, i4, i8, inline, kernel, record, u1, u2

VIEW, CLICK, INTENT, CONVERSION, NEGATIVE = (
    int(role) - 1 for role in (Role.VIEW, Role.CLICK, Role.INTENT, Role.CONVERSION, Role.NEGATIVE)
)
"""Counter columns."""


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


def _row(tiles: int) -> np.dtype[np.void]:
    return np.dtype([("head", "<i4"), ("tiles", "<u2", (tiles, ROLES))])


class WindowedCountsFold:
    """Counts by role in `tiles` tiles of `width` ms; each count saturates at 65,535 a tile."""

    def __init__(self, name: str, entity: Entity, tier: Tier, width: int, tiles: int) -> None:
        self.name, self.entity, self.tier, self.width = name, entity, tier, width
        self.dtype = _row(tiles)
        self.expires = 0 if entity == "item" else 1 if tier == "hot" else 2

    def update(self, rows: Rows, batch: FoldBatch) -> None:
        """Count each event in the tile of its own time."""
        slots = batch.items if self.entity == "item" else batch.users
        _update(rows["head"], rows["tiles"], slots, batch.events, batch.reset, self.expires, self.width)


WIDTH, TILES = 4 * HOUR, 7
"""Of a day's counts: six tiles and the one under way."""
DAYS = 8
"""Tiles of a week's counts."""


@inline
def _sum(row: Any, n: int, oldest: int, role: int) -> Any:
    """Return a role's sum in the window that ends with `row.head`, from the tile `oldest` on."""
    total = 0
    if row.head != 0:
        for t in range(max(row.head - n + 1, oldest), row.head + 1):
            total += row.tiles[t % n, role]
    return total


@kernel(record(_row(TILES)), record(_row(DAYS)), i8, f4[:, ::1])
def _read_user(day: Any, week: Any, now: int, out: F32) -> None:
    oldest = now // WIDTH - TILES + 1
    out[0, :] = _sum(day[0], TILES, oldest, VIEW)
    out[1, :] = _sum(day[0], TILES, oldest, CLICK)
    out[2, :] = _sum(day[0], TILES, oldest, INTENT)
    out[3, :] = _sum(day[0], TILES, oldest, NEGATIVE)
    oldest = now // DAY - DAYS + 1
    out[4, :] = _sum(week[0], DAYS, oldest, CLICK)
    out[5, :] = _sum(week[0], DAYS, oldest, INTENT)
    out[6, :] = _sum(week[0], DAYS, oldest, CONVERSION)


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
        self.day = WindowedCountsFold("user_counts_1d", "user", "hot", WIDTH, TILES)
        self.week = WindowedCountsFold("user_counts_7d", "user", "history", DAY, DAYS)
        self.folds: tuple[Fold, ...] = (self.day, self.week)

    def read(self, context: ReadContext, out: F32) -> None:
        """Fill `[7, n] float32`, the same for every candidate."""
        rows = context.user.rows
        _read_user(rows[self.day.name], rows[self.week.name], context.query.now, out)


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


class ItemCountsFeature(ItemFeature):
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
        self.week = WindowedCountsFold("item_counts_7d", "item", "hot", DAY, DAYS)
        self.folds: tuple[Fold, ...] = (self.week,)

    def read_items(self, rows: Mapping[str, Rows], columns: ItemColumns, slots: I32, now: int, out: F32) -> None:
        """Fill `[8, n] float32`."""
        own = rows[self.week.name]
        _read_item(own["head"], own["tiles"], slots, now, DAY, self.ttl, out)
