"""Trending: what everyone touches now, decayed with a half-life of 24 hours, overall and in the visitor's categories."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from nearline.features.popularity import PopularityFold, decayed
from nearline.schema.candidates import F32, I32
from nearline.schema.clock import SECOND
from nearline.sources.heads import HeadSource


class TrendingSource(HeadSource):
    """The most popular items now: half of the quota overall, half in the categories the visitor is interested in.

    Args:
        quota: candidates at most.
        half_life: hours.
        refresh: ms for which one ordering of the catalogue serves all requests.
        depth: how many items the ordering keeps.
    """

    name = "trending"
    family = "popularity"
    counted = True
    reason: ClassVar[str] = "trending"
    template: ClassVar[str] = "Trending now"
    time_based = False
    surfaces = ("homepage", "search")
    fills = True

    def __init__(self, quota: int = 100, half_life: float = 24.0, refresh: int = SECOND, depth: int = 2000) -> None:
        super().__init__(quota, refresh, depth, (PopularityFold(),))
        self.half_life = half_life

    def weigh(self, items: I32, now: int) -> F32:
        """Return each item's decayed popularity, `[n] float32`."""
        scores = decayed(self._world.rows["popularity"], items, now, (self.half_life,))[0]
        # An item nobody touched yet ranks below all others, yet keeps the page from being empty.
        known: F32 = np.maximum(scores, np.float32(1e-6))
        return known
