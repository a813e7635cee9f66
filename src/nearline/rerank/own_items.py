"""Own items: nobody is recommended what he offers himself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import Candidates
from nearline.schema.components import UserState, World
from nearline.schema.query import Query


class OwnItemsFilter:
    """Drops items whose `owner` is the visitor."""

    name = "own_items"
    essential = True

    def bind(self, world: World) -> None:
        """Read this world's catalogue."""
        self._world = world

    def wanted(self, query: Query, user: UserState) -> bool:
        """Return whether any item has an owner."""
        return "owner" in self._world.item_fields

    def keep(self, query: Query, user: UserState, candidates: Candidates) -> NDArray[np.bool_]:
        """Return which candidates are another's, `[n] bool`."""
        if not self.wanted(query, user):
            return np.ones(len(candidates), np.bool_)
        keep: NDArray[np.bool_] = self._world.columns.owner.take(candidates.items) != np.uint64(query.visitor)
        return keep
