"""Trending: what everyone touches now, decayed with a half-life of 24 hours, overall and in the visitor's categories."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from nearline.features.affinity import AffinityFold
from nearline.features.popularity import PopularityFold, decayed
from nearline.features.session import SessionFold
from nearline.schema.candidates import I32, NOTHING, Retrieved
from nearline.schema.clock import SECOND
from nearline.schema.components import Arrays, FitData, Fold, Stateful, UserState, World
from nearline.schema.query import Query
from nearline.sources.top import best


class TrendingSource:
    """The most popular items now: half of the quota overall, half in the categories the visitor is interested in.

    Args:
        quota: candidates at most.
        half_life: hours.
        refresh: ms for which one ordering of the catalogue serves all requests.
        depth: how many items the ordering keeps.
    """

    name = "trending"
    reason: ClassVar[str] = "trending"
    template: ClassVar[str] = "Trending now"
    time_based = False

    def __init__(
        self, quota: int = 100, half_life: float = 24.0, refresh: int = SECOND, depth: int = 5000
    ) -> None:
        self.quota, self.half_life, self.refresh, self.depth = quota, half_life, refresh, depth
        self.state: tuple[Stateful, ...] = ()
        self.folds: tuple[Fold, ...] = (PopularityFold(), SessionFold(), AffinityFold())

    def fit(self, data: FitData) -> Arrays:
        """Nothing is learned in batch."""
        return {}

    def bind(self, world: World, arrays: Arrays) -> None:
        """Read this world's item rows."""
        self._world = world
        self._order: tuple[I32, np.ndarray[tuple[int], np.dtype[np.float32]]] | None = None
        self._at, self._catalog_version = -(1 << 62), -1

    def fetch(self, query: Query, user: UserState, limit: int) -> Retrieved:
        """Return what trends overall and in the visitor's categories."""
        items, scores = self._ordered(query.now)
        if len(items) == 0:
            return NOTHING
        chosen = np.zeros(len(items), np.bool_)
        chosen[: limit // 2] = True
        wanted = _categories(user)
        if len(wanted):
            mine = np.flatnonzero(np.isin(self._world.columns.category[items], wanted))
            chosen[mine[: limit - limit // 2]] = True
        else:
            chosen[:limit] = True
        places = np.flatnonzero(chosen)
        return Retrieved(items[places], scores[places], np.full(len(places), -1, np.int32))

    def _ordered(self, now: int) -> tuple[I32, np.ndarray[tuple[int], np.dtype[np.float32]]]:
        stale = abs(now - self._at) >= self.refresh or self._catalog_version != self._world.catalog_version
        if self._order is None or stale:
            available = np.flatnonzero(self._world.columns.available).astype(np.int32)
            scores = decayed(self._world.rows["popularity"], available, now, (self.half_life,))[0]
            # An item nobody touched yet ranks below all others, yet keeps the page from being empty.
            scores = np.maximum(scores, np.float32(1e-6))
            places = best(scores, self.depth)
            self._order = available[places], scores[places]
            self._at, self._catalog_version = now, self._world.catalog_version
        return self._order


def _categories(user: UserState) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    affinity = user.rows["affinity"][0]
    top = affinity["categories"][np.argsort(-affinity["category_weights"], kind="stable")[:3]]
    wanted = np.append(top, user.rows["session"]["category"][0])
    return np.asarray(wanted[wanted != 0], np.uint32)
