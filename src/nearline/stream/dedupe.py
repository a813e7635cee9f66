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

    def dump(self) -> Arrays:
        """Return the ids by tile."""
        return {f"duplicates.{tile}": index.keys for tile, index in self._seen.items()}

    def load(self, arrays: Arrays) -> None:
        """Continue from what `dump` returned."""
        self._seen = {}
        for name, array in arrays.items():
            if name.startswith("duplicates."):
                index = self._seen[int(name.split(".")[1])] = KeyIndex()
                index.intern(array)
