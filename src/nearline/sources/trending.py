"""Trending: what everyone touches now, decayed with a half-life of 24 hours, overall and in the visitor's categories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nearline.features.affinity import AffinityFold
from nearline.features.popularity import PopularityFold, decayed
from nearline.features.session import SessionFold
from nearline.schema.candidates import F32, I32, NOTHING, Retrieved
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

    def __init__(self, quota: int = 100, half_life: float = 24.0, refresh: int = SECOND, depth: int = 2000) -> None:
        self.quota, self.half_life, self.refresh, self.depth = quota, half_life, refresh, depth
        self.state: tuple[Stateful, ...] = ()
        self.folds: tuple[Fold, ...] = (PopularityFold(), SessionFold(), AffinityFold())

    def fit(self, data: FitData) -> Arrays:
        """Nothing is learned in batch."""
        return {}

    def bind(self, world: World, arrays: Arrays) -> None:
        """Read this world's item rows."""
        self._world = world
        self._order: _Order | None = None
        self._at, self._catalog_version = -(1 << 62), -1

    def fetch(self, query: Query, user: UserState, limit: int) -> Retrieved:
        """Return what trends overall and in the visitor's categories."""
        order = self._ordered(query.now)
        if len(order.items) == 0:
            return NOTHING
        wanted = _categories(user)
        mine = [order.by_category[c] for c in wanted if c in order.by_category]
        if mine:
            each = -(-(limit - limit // 2) // len(mine))
            chosen = np.zeros(len(order.items), np.bool_)
            chosen[: limit // 2] = True
            for own in mine:
                chosen[own[:each]] = True
            places = np.flatnonzero(chosen)
        else:
            places = np.arange(min(limit, len(order.items)))
        return Retrieved(order.items[places], order.scores[places], np.full(len(places), -1, np.int32))

    def _ordered(self, now: int) -> _Order:
        stale = abs(now - self._at) >= self.refresh or self._catalog_version != self._world.catalog_version
        if self._order is None or stale:
            available = np.flatnonzero(self._world.columns.available).astype(np.int32)
            scores = decayed(self._world.rows["popularity"], available, now, (self.half_life,))[0]
            # An item nobody touched yet ranks below all others, yet keeps the page from being empty.
            scores = np.maximum(scores, np.float32(1e-6))
            places = best(scores, self.depth)
            items, scores = available[places], scores[places]
            categories = self._world.columns.category[items]
            by = np.argsort(categories, kind="stable")
            names, starts = np.unique(categories[by], return_index=True)
            lists = np.split(by, starts[1:]) if len(names) else []
            self._order = _Order(items, scores, dict(zip(names.tolist(), lists, strict=True)))
            self._at, self._catalog_version = now, self._world.catalog_version
        return self._order


@dataclass(frozen=True, slots=True)
class _Order:
    """The catalogue's head by popularity; `by_category` holds places into it."""

    items: I32
    scores: F32
    by_category: dict[int, NDArray[np.intp]]


def _categories(user: UserState) -> list[int]:
    affinity = user.rows["affinity"][0]
    top = affinity["categories"][np.argsort(-affinity["category_weights"], kind="stable")[:3]].tolist()
    return [c for c in dict.fromkeys([*top, int(user.rows["session"]["category"][0])]) if c]
