"""Category cap: at most a few items of one category on a page."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from nearline.schema.candidates import I32, Ranked
from nearline.schema.components import UserState, World
from nearline.schema.kernel import i4, i8, kernel, u4
from nearline.schema.query import Query


@kernel(i4[::1], u4[::1], i8, i8, i4[::1])
def _cap(items: I32, category: np.ndarray[tuple[int], np.dtype[np.uint32]], most: int, size: int, out: I32) -> None:
    """Fill `out` with places: the first `size` that respect the cap, then all others in order."""
    n = len(items)
    taken = np.zeros(n, np.uint8)
    chosen = 0
    for i in range(n):
        if chosen == size:
            break
        own = category[items[i]]
        count = 0
        if own != 0:
            for j in range(chosen):
                if category[items[out[j]]] == own:
                    count += 1
        if count < most:
            out[chosen] = i
            taken[i] = 1
            chosen += 1
    for i in range(n):
        if taken[i] == 0:
            out[chosen] = i
            chosen += 1


class CategoryCap:
    """At most `most` items of one category on a page; where nothing else is left, more.

    Args:
        most: items of one category, 5 by default; 0 for no cap.
    """

    name = "category_cap"
    order = 90
    settings: ClassVar = {"most": "per_category"}

    def __init__(self, most: int = 5) -> None:
        self.most = most

    def bind(self, world: World) -> None:
        """Read this world's categories."""
        self._world = world

    def arrange(self, query: Query, user: UserState, ranked: Ranked, size: int) -> I32:
        """Return places with the page first, `[n] int32`."""
        out = np.empty(len(ranked.scores), np.int32)
        if self.most <= 0:
            return np.arange(len(out), dtype=np.int32)
        _cap(ranked.candidates.items, self._world.columns.category, self.most, size, out)
        return out
