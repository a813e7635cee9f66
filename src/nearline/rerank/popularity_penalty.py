"""Popularity penalty: what everybody sees anyway gives way a little to what fewer know."""

from __future__ import annotations

import numpy as np

from nearline.features.popularity import decayed
from nearline.schema.candidates import F32, Candidates
from nearline.schema.components import UserState, World
from nearline.schema.kernel import f4, f8, kernel
from nearline.schema.query import Query


@kernel(f4[::1], f4[::1], f8, f4[::1])
def _lower(scores: F32, popularity: F32, strength: float, out: F32) -> None:
    highest = 0.0
    for i in range(len(scores)):
        highest = max(highest, np.log1p(max(0.0, popularity[i] / 100.0)))
    share = strength / highest if highest > 0.0 else 0.0
    for i in range(len(scores)):
        score = np.float64(scores[i])
        out[i] = score - abs(score) * share * np.log1p(max(0.0, popularity[i] / 100.0))


class PopularityPenalty:
    """Lowers scores by the logarithm of popularity, relative to the most popular candidate.

    A score s becomes s - |s| strength log(1 + p) / log(1 + p_max), where p is the weight of an item's events in the last three
    days, decayed with a half-life of 24 hours. The logarithm, as popularity has a long tail.

    Args:
        strength: share of the score that the most popular candidate loses, 0..1.
    """

    name = "popularity_penalty"
    default = False

    def __init__(self, strength: float = 0.2) -> None:
        self.strength = strength

    def bind(self, world: World) -> None:
        """Read this world's counts."""
        self._world = world

    def adjust(self, query: Query, user: UserState, candidates: Candidates, scores: F32) -> F32:
        """Return the lowered scores, `[n] float32`."""
        rows = self._world.rows.get("popularity")
        if rows is None or self.strength <= 0:
            return scores
        popularity = decayed(rows, candidates.items, query.now, (24.0,))[0]
        out = np.empty_like(scores)
        _lower(np.ascontiguousarray(scores), popularity, self.strength, out)
        return out
