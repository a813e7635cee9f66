"""Category breadth: a list has at least a few categories, where there are so many."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import I32, Ranked
from nearline.schema.components import UserState, World
from nearline.schema.kernel import b1, i4, i8, kernel, u4
from nearline.schema.query import Query

PAGE = 20
"""Places that `least` is meant for; a shorter list needs fewer in proportion."""


@kernel(i4[::1], u4[::1], b1[::1], i8, i4[::1])
def _widen(items: I32, category: NDArray[np.uint32], held: NDArray[np.bool_], least: int, out: I32) -> None:
    """Fill `out` with places: the list, in which the best of categories that it lacks stand for the lowest that it can lose."""
    n = len(held)
    own, count, kinds = np.empty(n + least, np.uint32), np.zeros(n, np.int32), 0
    for i in range(n):
        own[i] = category[items[i]]
        out[i] = i
        first: int = i
        for j in range(i - 1, -1, -1):
            if own[j] == own[i]:
                first = j
        count[first] += 1
        kinds += own[i] != 0 and first == i
    taken = np.zeros(len(items), np.uint8)
    taken[:n] = 1
    place, came = n - 1, 0
    came_places = np.empty(least, np.int32)
    for i in range(n, len(items)):
        if kinds >= least:
            break
        new = category[items[i]]
        known = new == 0
        for j in range(n + came):
            known = known or own[j] == new
        if known:
            continue
        while place >= 0:
            first = place
            for j in range(place):
                if own[j] == own[place]:
                    first = j
                    break
            if not held[place] and (own[place] == 0 or count[first] > 1):
                break
            place -= 1
        if place < 0:
            break
        count[first] -= 1
        out[place] = -1
        own[n + came] = new
        came_places[came] = i
        taken[i], taken[place] = 1, 0
        came += 1
        kinds += 1
        place -= 1
    next_ = 0
    for k in range(n):
        if out[k] < 0:
            out[k] = came_places[next_]
            next_ += 1
    rest = n
    for i in range(len(items)):
        if not taken[i]:
            out[rest] = i
            rest += 1


class CategoryBreadth:
    """At least `least` categories in a list of twenty, in proportion in a shorter one, where there are so many.

    The best items of categories that a list lacks take the lowest places of categories that have more than one.

    Args:
        least: categories, 5 by default; 0: no matter.
    """

    name = "category_breadth"
    order = 92
    settings: ClassVar = {"least": "categories"}

    def __init__(self, least: int = 5) -> None:
        self.least = least

    def bind(self, world: World) -> None:
        """Read this world's categories."""
        self._world = world

    def arrange(self, query: Query, user: UserState, ranked: Ranked, size: int) -> I32:
        """Return places with the list first, `[n] int32`."""
        out = np.empty(len(ranked.scores), np.int32)
        n = min(size, len(out))
        held = np.zeros(n, np.bool_) if ranked.held is None else ranked.held[:n]
        least = min(n, -(-self.least * n // PAGE))
        _widen(ranked.candidates.items, self._world.columns.category, held, least, out)
        return out
