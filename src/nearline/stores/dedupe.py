"""Duplicates: event ids of the last 24 hours, by 64-bit key, in tiles of six hours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nearline.schema.clock import HOUR
from nearline.schema.components import Arrays
from nearline.stores.key_index import KeyIndex, Keys

WIDTH = 6 * HOUR


class Duplicates:
    """Which event ids have been seen within the horizon.

    Keys have 64 bits: among ten million ids, the chance that any new one is taken for a duplicate is about 3e-6.

    Args:
        horizon: ms for which an id counts once, rounded up to tiles of six hours.
    """

    def __init__(self, horizon: int = 24 * HOUR) -> None:
        self.tiles = -(-horizon // WIDTH) + 1
        self._seen: dict[int, KeyIndex] = {}

    def fresh(self, ids: Keys, now: int) -> NDArray[np.bool_]:
        """Return which keys of ids are new at `now` (ms UTC), `[n] bool`; the second of two equal ones is not."""
        new = np.ones(len(ids), np.bool_)
        for tile in [tile for tile in self._seen if tile <= now // WIDTH - self.tiles]:
            del self._seen[tile]
        for index in self._seen.values():
            new &= index.find(ids) < 0
        order = np.sort(ids)
        if (order[1:] == order[:-1]).any():
            once = np.zeros(len(ids), np.bool_)
            once[np.unique(ids, return_index=True)[1]] = True
            new &= once
        return new

    def add(self, ids: Keys, now: int) -> None:
        """Remember the keys of ids that were made durable at `now` (ms UTC); key 0 is none."""
        index = self._seen.setdefault(int(now // WIDTH), KeyIndex())
        index.intern(ids)

    def taken(self, ids: Keys, times: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Remember ids that a shared log holds, and return which of them came for the first time, `[n] bool`; 0 always does.

        Whoever reads the same records drops the same ones: the time is the log's, and pages may be cut anywhere.

        Args:
            ids: keys, `[n] uint64`, in log order.
            times: when they were ingested, ms UTC, `[n] int64`.
        """
        new = np.empty(len(ids), np.bool_)
        # Writers' clocks may differ a little: time never goes back.
        tiles = np.maximum.accumulate(np.maximum(times // WIDTH, max(self._seen, default=0)))
        for tile in np.unique(tiles).tolist():
            now = tiles == tile
            new[now] = self.fresh(ids[now], tile * WIDTH) | (ids[now] == 0)
            self.add(ids[now], tile * WIDTH)
        return new

    def dump(self, name: str = "duplicates") -> Arrays:
        """Return the ids by tile."""
        return {f"{name}.{tile}": index.keys for tile, index in self._seen.items()}

    def load(self, arrays: Arrays, name: str = "duplicates") -> None:
        """Continue from what `dump` returned."""
        self._seen = {}
        for array in arrays:
            head, _, tile = array.rpartition(".")
            if head == name:
                index = self._seen[int(tile)] = KeyIndex()
                index.intern(arrays[array])
