"""The catalogue by popularity, so that the most popular items of any selection are found in one pass."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from nearline.features.popularity import decayed
from nearline.schema.candidates import I32, Retrieved
from nearline.schema.components import World

HALF_LIFE = 24.0
"""Hours."""
PAUSE = 5.0
"""Seconds for which an order serves, at least; more where making it takes long."""
PATIENCE = 30.0
"""Seconds after which nobody seems to renew it, and a request does."""


class PopularOrder:
    """All slots of available items, the most popular first, equal ones by slot; what came since is behind them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._order: I32 | None = None
        self._listed = np.zeros(0, np.bool_)
        self._version, self._at, self._pause = -1, 0.0, PAUSE
        self._asked = False

    def first(self, mask: NDArray[np.bool_], limit: int, now: int) -> I32:
        """Return the most popular slots where a mask is true, `[at most limit] int32`; those beyond its end are not."""
        self._asked = True
        order = self._order
        if order is None or time.monotonic() - self._at > PATIENCE + 2 * self._pause:
            order = self._make(now)
        found: list[I32] = []
        count, begin, step = 0, 0, 4096
        # Piece by piece: a wide selection is full after the first.
        while begin < len(order) and count < limit:
            piece = order[begin : begin + step]
            piece = piece[piece < len(mask)]
            piece = piece[mask[piece]]
            found.append(piece)
            count, begin, step = count + len(piece), begin + step, step * 4
        if count < limit and self._version != self._world.catalog_version:
            new = mask.copy()
            n = min(len(new), len(self._listed))
            new[:n] &= ~self._listed[:n]
            found.append(np.flatnonzero(new).astype(np.int32))
        return np.concatenate(found)[:limit] if found else np.empty(0, np.int32)

    def renew(self, now: int) -> bool:
        """Make it anew where it is asked for and old, beside the requests; return whether it was."""
        old = self._order is None or (self._asked and time.monotonic() - self._at > self._pause)
        if old:
            self._make(now)
        return old

    def _make(self, now: int) -> I32:
        began, version = time.monotonic(), self._world.catalog_version
        self._asked = False
        available = np.flatnonzero(self._world.columns.available).astype(np.int32)
        scores = decayed(self._world.rows["popularity"], available, now, (HALF_LIFE,))[0]
        order = available[np.argsort(-scores, kind="stable")]
        listed = np.zeros(self._world.n_items, np.bool_)
        listed[order[order < len(listed)]] = True
        self._order, self._listed, self._version = order, listed, version
        self._at = time.monotonic()
        self._pause = max(PAUSE, 20 * (self._at - began))
        return order


def falling(items: I32) -> Retrieved:
    """Return slots in order with scores that fall from 1: the order is all there is to say."""
    scores = 1.0 / np.arange(1, len(items) + 1)
    return Retrieved(items, scores.astype(np.float32), np.full(len(items), -1, np.int32))
