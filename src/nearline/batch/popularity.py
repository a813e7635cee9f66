"""Popularity, the yardstick that every release is judged against: what most people touched, recently where times are real."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from nearline.features.popularity import PopularityFold, decayed
from nearline.features.totals import ItemTotalsFold
from nearline.schema.candidates import Retrieved
from nearline.schema.components import Arrays, FitData, Fold, Stateful, UserState, World
from nearline.schema.query import Query


class PopularitySource:
    """All items by decayed popularity (24 hours), then by all-time touches."""

    name = "popularity"
    quota = 1000
    time_based = False
    reason: ClassVar[str] = "popular"
    template: ClassVar[str] = "Popular"
    folds: tuple[Fold, ...] = (PopularityFold(), ItemTotalsFold())
    state: tuple[Stateful, ...] = ()

    def fit(self, data: FitData) -> Arrays:
        """Nothing is learned."""
        return {}

    def bind(self, world: World, arrays: Arrays) -> None:
        """Read this world's counts."""
        self._world = world

    def fetch(self, query: Query, user: UserState, limit: int) -> Retrieved:
        """Return the most popular items."""
        items = np.flatnonzero(self._world.columns.available).astype(np.int32)
        recent = decayed(self._world.rows["popularity"], items, query.now, (24.0,))[0]
        touches = self._world.rows["item_totals"]["counts"][items].sum(axis=1)
        order = np.lexsort((-touches, -recent))[:limit]
        return Retrieved(items[order], (recent[order] + 1e-6).astype(np.float32), np.full(len(order), -1, np.int32))
