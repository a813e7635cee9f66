"""Window: an item is offered from one moment until another, by the clock alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import I32, Candidates
from nearline.schema.components import UserState, World
from nearline.schema.kernel import b1, i4, i8, kernel
from nearline.schema.query import Query


@kernel(i4[::1], i8[::1], i8[::1], i8, b1[::1])
def _open(items: I32, begins: NDArray[np.int64], ends: NDArray[np.int64], now: int, keep: NDArray[np.bool_]) -> None:
    for i in range(len(items)):
        end = ends[items[i]]
        keep[i] = begins[items[i]] <= now and (end == 0 or now < end)


class WindowFilter:
    """Drops items before their `available_from` and from their `available_until` on, at `now`."""

    name = "window"
    essential = True

    def bind(self, world: World) -> None:
        """Read this world's catalogue."""
        self._world = world

    def wanted(self, query: Query, user: UserState) -> bool:
        """Return whether any item has a window."""
        return "window" in self._world.item_fields

    def keep(self, query: Query, user: UserState, candidates: Candidates) -> NDArray[np.bool_]:
        """Return which candidates are offered now, `[n] bool`."""
        keep = np.ones(len(candidates), np.bool_)
        if self.wanted(query, user):
            columns = self._world.columns
            _open(candidates.items, columns.begins, columns.ends, query.now, keep)
        return keep
