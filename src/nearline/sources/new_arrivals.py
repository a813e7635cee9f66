"""New arrivals: what came into the catalogue last, in the visitor's categories first."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from nearline.schema.candidates import F32, I32
from nearline.schema.clock import DAY, MINUTE
from nearline.sources.heads import HeadSource


class NewArrivalsSource(HeadSource):
    """The newest items by `created_at`: half of the quota overall, half in the categories the visitor is interested in.

    Nobody touched them yet, so no other source but content finds them. Nothing where no item says when it was created. Off by
    default: a log of the past can't show what it is for.

    Args:
        quota: candidates at most.
        days: an item is new for so long.
        half_life: days after which newness counts half.
    """

    name = "new_arrivals"
    reason: ClassVar[str] = "new"
    template: ClassVar[str] = "New here"
    time_based = True
    default = False
    at_once = False
    surfaces = ("homepage", "search", "email")

    def __init__(self, quota: int = 40, days: float = 30.0, half_life: float = 7.0) -> None:
        super().__init__(quota, MINUTE, 1000)
        self.days, self.half_life = days, half_life

    def weigh(self, items: I32, now: int) -> F32:
        """Return how new each item is, 1 for this moment, 0 for an old or undated one, `[n] float32`."""
        created = self._world.columns.created[items]
        age = (now - created) / DAY
        fresh = (created > 0) & (age >= 0.0) & (age <= self.days)
        return np.where(fresh, np.exp2(-np.clip(age, 0.0, self.days) / self.half_life), 0.0).astype(np.float32)
