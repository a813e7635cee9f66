"""Matching: what the request filters by is all that stays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import Candidates
from nearline.schema.components import UserState, World
from nearline.schema.query import Query


class MatchingFilter:
    """Keeps items that meet every condition of the request."""

    name = "matching"
    essential = True
    always = True

    def bind(self, world: World) -> None:
        """Read this world's attributes."""
        self._world = world

    def wanted(self, query: Query, user: UserState) -> bool:
        """Return whether the request has conditions."""
        return bool(query.filters)

    def keep(self, query: Query, user: UserState, candidates: Candidates) -> NDArray[np.bool_]:
        """Return which candidates meet the conditions, `[n] bool`."""
        if not self.wanted(query, user):
            return np.ones(len(candidates), np.bool_)
        return self._world.attributes.kept(query.filters, query.now, candidates.items)
