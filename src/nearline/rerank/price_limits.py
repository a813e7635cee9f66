"""Price limits: what is too cheap or too dear to be recommended."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import Candidates
from nearline.schema.components import UserState, World
from nearline.schema.query import Query


class PriceLimitsFilter:
    """Drops items whose price is known and outside the limits.

    Args:
        least, most: in the shop's currency; 0 for no limit.
    """

    name = "price_limits"
    essential = True
    settings: ClassVar = {"least": "price_min", "most": "price_max"}

    def __init__(self, least: float = 0.0, most: float = 0.0) -> None:
        self.least, self.most = least, most

    def bind(self, world: World) -> None:
        """Read this world's prices."""
        self._world = world

    def wanted(self, query: Query, user: UserState) -> bool:
        """Return whether there are limits."""
        return self.least > 0 or self.most > 0

    def keep(self, query: Query, user: UserState, candidates: Candidates) -> NDArray[np.bool_]:
        """Return which candidates are within the limits, `[n] bool`."""
        if not self.wanted(query, user):
            return np.ones(len(candidates), np.bool_)
        price = self._world.columns.price.take(candidates.items)
        # Written so that NaN, no price, is outside of nothing.
        out = price < self.least
        if self.most > 0:
            out |= price > self.most
        return ~out
