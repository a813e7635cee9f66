"""Personal history: what the visitor looked at and may want to continue or buy again."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nearline.features.history import HistoryFold, recent_slots
from nearline.schema.candidates import F32, Retrieved
from nearline.schema.components import Arrays, FitData, Fold, Stateful, UserState, World
from nearline.schema.kernel import f4, f8, i8, kernel, u4
from nearline.schema.query import Query


@kernel(u4[::1], i8, f8, f4[::1])
def _fade(seconds: NDArray[np.uint32], now: int, half_life: float, out: F32) -> None:
    for i in range(len(out)):
        hours = max(0.0, now / 1000.0 - seconds[i]) / 3600.0
        out[i] = 2.0 ** (-hours / half_life) + 1e-6


class PersonalHistorySource:
    """The visitor's own last items, newest first; what an event suppresses is taken out later by the rules.

    Args:
        quota: candidates at most.
        half_life: hours after which an item counts half.
    """

    name = "history"
    family = "personal"
    reason: ClassVar[str] = "from_your_history"
    template: ClassVar[str] = "Pick up where you left off"
    time_based = False
    surfaces = ("homepage", "email", "push", "search")

    def __init__(self, quota: int = 100, half_life: float = 48.0) -> None:
        self.quota, self.half_life = quota, half_life
        self.state: tuple[Stateful, ...] = ()
        self.folds: tuple[Fold, ...] = (HistoryFold(),)

    def fit(self, data: FitData) -> Arrays:
        """Nothing is learned in batch."""
        return {}

    def bind(self, world: World, arrays: Arrays) -> None:
        """Read this world's item index."""
        self._world = world

    def fetch(self, query: Query, user: UserState, limit: int) -> Retrieved:
        """Return the visitor's last items."""
        items, seconds = recent_slots(user, self._world, limit)
        scores = np.empty(len(items), np.float32)
        _fade(seconds, query.now, self.half_life, scores)
        return Retrieved(items, scores, items)
