"""Popularity: weighted events of an item in tiles of four hours over three days, decayed when read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32
from nearline.schema.clock import HOUR
from nearline.schema.components import Entity, Fold, FoldBatch, ItemColumns, ItemFeature, Rows, Tier
from nearline.schema.event import EVENT, Events, Role
from nearline.schema.kernel import f4, f8, i4, i8, kernel, record

EXPOSURE = int(Role.EXPOSURE)
WIDTH, TILES = 4 * HOUR, 18
HALF_LIVES = (4.0, 12.0, 24.0)
"""Hours."""
POPULARITY: np.dtype[np.void] = np.dtype([("head", "<i4"), ("tiles", "<i8", (TILES,))])
"""head: newest tile, 0 for none; tiles: hundredths of the event weights, a ring."""


@kernel(i4[:], i8[:, :], i4[::1], record(EVENT), i8)
def _update(heads: I32, tiles: NDArray[np.int64], slots: I32, events: Events, width: int) -> None:
    n = tiles.shape[1]
    for i in range(len(slots)):
        slot = slots[i]
        event: Any = events[i]
        if slot < 0 or event.role == EXPOSURE:
            continue
        tile = event.ts // width
        head = heads[slot]
        if head == 0:
            heads[slot] = tile
        elif tile > head:
            for t in range(max(head + 1, tile - n + 1), tile + 1):
                tiles[slot, t % n] = 0
            heads[slot] = tile
        elif tile <= head - n:
            continue
        tiles[slot, tile % n] += event.weight // 10


class PopularityFold:
    """Weighted events by tile of four hours (148 bytes); commutative."""

    name = "popularity"
    entity: Entity = "item"
    tier: Tier = "hot"
    dtype = POPULARITY

    def update(self, rows: Rows, batch: FoldBatch) -> None:
        """Add each event's weight to the tile of its own time."""
        _update(rows["head"], rows["tiles"], batch.items, batch.events, WIDTH)


@kernel(i4[:], i8[:, :], i4[::1], i8, i8, f8[::1], f4[:, ::1])
def _read(
    heads: I32,
    tiles: NDArray[np.int64],
    slots: I32,
    now: int,
    width: int,
    half_lives: NDArray[np.float64],
    out: F32,
) -> None:
    n = tiles.shape[1]
    current = now // width
    h = len(half_lives)
    # What a place of the ring holds, and weighs, for every item whose newest tile is not beyond the current one.
    held = np.empty(n, np.int64)
    decay = np.empty((3, n), np.float32)
    for place in range(n):
        tile = current - (current - place) % n
        held[place] = tile
        for j in range(3):
            # The current tile counts in full, each older one by the age of its end.
            elapsed = max(0.0, now - (tile + 1) * width) / 3600000.0
            decay[j, place] = 2.0 ** (-elapsed / half_lives[min(j, h - 1)])
    for i in range(len(slots)):
        slot = slots[i]
        head = heads[slot]
        a, b, c = np.float32(0.0), np.float32(0.0), np.float32(0.0)
        if head > current:
            # Some seconds ahead of `now`: its window ends with its own newest tile, which counts in full.
            for place in range(n):
                age = min(current, head - (head - place) % n)
                at = age % n
                count = np.float32(tiles[slot, place])
                if held[at] == age:
                    a += count * decay[0, at]
                    b += count * decay[1, at]
                    c += count * decay[2, at]
        elif head > current - n and head > 0:
            for place in range(n):
                count = np.float32(tiles[slot, place] if held[place] <= head else 0)
                a += count * decay[0, place]
                b += count * decay[1, place]
                c += count * decay[2, place]
        out[0, i] = a
        if h > 1:
            out[1, i] = b
        if h > 2:
            out[2, i] = c


def decayed(rows: Rows, slots: I32, now: int, half_lives: tuple[float, ...]) -> F32:
    """Return decayed popularity (hundredths of weight) for up to three half-lives in hours, `[n, n_slots] float32`."""
    out = np.empty((len(half_lives), len(slots)), np.float32)
    _read(rows["head"], rows["tiles"], slots, now, WIDTH, np.asarray(half_lives, np.float64), out)
    return out


HALVES = np.asarray(HALF_LIVES, np.float64)


class PopularityFeature(ItemFeature):
    """An item's popularity now, decayed with half-lives of 4, 12 and 24 hours."""

    name = "popularity"
    columns = ("popularity_4h", "popularity_12h", "popularity_24h")
    time_based = True

    def __init__(self) -> None:
        self.folds: tuple[Fold, ...] = (PopularityFold(),)

    def read_items(self, rows: Mapping[str, Rows], columns: ItemColumns, slots: I32, now: int, out: F32) -> None:
        """Fill `[3, n] float32`."""
        own = rows["popularity"]
        _read(own["head"], own["tiles"], slots, now, WIDTH, HALVES, out)
