"""Freshness: new arrivals are boosted, less each day, and never by more than stated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32, Candidates
from nearline.schema.clock import DAY
from nearline.schema.components import UserState, World
from nearline.schema.kernel import f4, f8, i4, i8, kernel
from nearline.schema.query import Query


@kernel(i4[::1], f4[::1], i8[::1], i8, f8, f8, f4[::1])
def _boost(items: I32, scores: F32, created: NDArray[np.int64], now: int, boost: float, half_life: float, out: F32) -> None:
    for i in range(len(items)):
        score = np.float64(scores[i])
        came = created[items[i]]
        # Of unknown age, or announced for later: as it is.
        if 0 < came <= now:
            score += abs(score) * boost * 2.0 ** (-(now - came) / half_life)
        out[i] = score


class FreshnessRule:
    """Raises the score of new arrivals: by `boost` on the first day, by half of that after `half_life_days`, and so on.

    Args:
        boost: the most that is added, as a share of the score; 0.5 makes 1.5 times the score.
        half_life_days: days after `created_at` in which the boost halves.
    """

    name = "freshness"
    default = False

    def __init__(self, boost: float = 0.5, half_life_days: float = 7.0) -> None:
        self.boost, self.half_life_days = boost, half_life_days

    def bind(self, world: World) -> None:
        """Read this world's times of creation."""
        self._world = world

    def adjust(self, query: Query, user: UserState, candidates: Candidates, scores: F32) -> F32:
        """Return the raised scores, `[n] float32`."""
        out = np.empty_like(scores)
        created, half_life = self._world.columns.created, self.half_life_days * DAY
        _boost(candidates.items, np.ascontiguousarray(scores), created, query.now, self.boost, half_life, out)
        return out
