"""Region: an item with regions is offered only there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import Candidates
from nearline.schema.components import UserState, World
from nearline.schema.query import Query

MOST = 1_000
"""Places remembered."""


class RegionFilter:
    """Drops items that have `regions` of which none is the request's location; where that is not told, all of them.

    Items without regions are offered everywhere.
    """

    name = "region"
    essential = True

    def bind(self, world: World) -> None:
        """Read this world's catalogue."""
        self._world = world
        self._fine: dict[str, NDArray[np.bool_]] = {}

    def wanted(self, query: Query, user: UserState) -> bool:
        """Return whether any item has regions."""
        return "regions" in self._world.item_fields

    def keep(self, query: Query, user: UserState, candidates: Candidates) -> NDArray[np.bool_]:
        """Return which candidates are offered at the location, `[n] bool`."""
        world = self._world
        if not self.wanted(query, user):
            return np.ones(len(candidates), np.bool_)
        own = world.columns.regions.take(candidates.items)
        fine = self._fine.get(query.location)
        if fine is None or len(fine) < len(world.region_sets):
            # Sets of regions are few and only added to, so that a place's answers stay right for those it knows.
            fine = np.array([not regions or query.location in regions for regions in list(world.region_sets)], np.bool_)
            if len(self._fine) >= MOST:
                self._fine.clear()
            self._fine[query.location] = fine
        # A set that came since is of an item that is in nobody's list yet.
        return fine.take(own, mode="clip")
