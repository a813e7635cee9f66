"""Available: withdrawn, unregistered and excluded items leave."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import Candidates
from nearline.schema.components import UserState, World
from nearline.schema.ids import keys
from nearline.schema.query import Query


class AvailableFilter:
    """Keeps registered items that are not withdrawn."""

    name = "available"
    essential = True

    def bind(self, world: World) -> None:
        """Read this world's catalogue."""
        self._world = world

    def keep(self, query: Query, user: UserState, candidates: Candidates) -> NDArray[np.bool_]:
        """Return which candidates are available, `[n] bool`."""
        return self._world.columns.available.take(candidates.items)


class ExcludedFilter:
    """Drops what the request excludes, the item its page is about, and what is in the cart."""

    name = "excluded"
    essential = True

    def bind(self, world: World) -> None:
        """Read this world's item index."""
        self._world = world

    def wanted(self, query: Query, user: UserState) -> bool:
        """Return whether the request excludes anything."""
        return bool(query.item_id or query.exclude or query.cart)

    def keep(self, query: Query, user: UserState, candidates: Candidates) -> NDArray[np.bool_]:
        """Return which candidates are not excluded, `[n] bool`."""
        if not self.wanted(query, user):
            return np.ones(len(candidates), np.bool_)
        names = (*query.exclude, *query.cart, *([query.item_id] if query.item_id else ()))
        return ~np.isin(candidates.items, self._world.item_slots(keys(names)))
