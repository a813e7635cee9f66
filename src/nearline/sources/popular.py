"""Popular: the best of several horizons at once: the last hours, a day, three days, all time."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from nearline.features.popularity import PopularityFold, decayed
from nearline.features.totals import ItemTotalsFold
from nearline.schema.candidates import F32, I32
from nearline.schema.clock import SECOND
from nearline.schema.event import Role
from nearline.schema.top import best
from nearline.sources.heads import HeadSource

FUSED = 10.0
"""Added to a place before it is inverted; the smaller, the more the very first of each horizon count."""


class PopularSource(HeadSource):
    """The heads of several orders by popularity, fused by place: half-lives of an hour, a day and a week, and all time.

    Tiles reach back three days (`features/popularity.py`), so the week's half-life weighs these evenly. An item's score is the
    sum over horizons of 1 / (10 + place), as in reciprocal rank fusion (Cormack et al. 2009).

    Args:
        quota: candidates at most.
        half_lives: hours, up to three.
        refresh: ms for which one ordering of the catalogue serves all requests.
        depth: how many items of each horizon count.
    """

    name = "popular"
    reason: ClassVar[str] = "popular"
    template: ClassVar[str] = "Popular here"
    time_based = False
    default = False
    surfaces = ("homepage", "search")

    def __init__(
        self,
        quota: int = 100,
        half_lives: tuple[float, ...] = (1.0, 24.0, 168.0),
        refresh: int = SECOND,
        depth: int = 1000,
    ) -> None:
        super().__init__(quota, refresh, depth, (PopularityFold(), ItemTotalsFold()))
        self.half_lives = half_lives

    def weigh(self, items: I32, now: int) -> F32:
        """Return the fused score of each item, 0 for one in no head, `[n] float32`."""
        recent = decayed(self._world.rows["popularity"], items, now, self.half_lives)
        counts = self._world.rows["item_totals"]["counts"][items]
        ever = counts[:, Role.VIEW - 1 : Role.CONVERSION].sum(axis=1).astype(np.float32)
        out = np.zeros(len(items), np.float32)
        for scores in (*recent, ever):
            places = best(np.ascontiguousarray(scores), self.depth)
            out[places] += 1.0 / (FUSED + np.arange(1, len(places) + 1, dtype=np.float32))
        return out
