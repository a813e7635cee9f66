"""Personal history: what the visitor looked at and may want to continue or buy again."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from nearline.features.history import HistoryFold, recent_slots
from nearline.schema.candidates import Retrieved
from nearline.schema.components import Arrays, FitData, Fold, Stateful, UserState, World
from nearline.schema.query import Query


class PersonalHistorySource:
    """The visitor's own last items, newest first; what an event suppresses is taken out later by the rules.

    Args:
        quota: candidates at most.
        half_life: hours after which an item counts half.
    """

    name = "history"
    reason: ClassVar[str] = "from_your_history"
    template: ClassVar[str] = "Pick up where you left off"
    time_based = False

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
        hours = np.maximum(0.0, query.now / 1000.0 - seconds) / 3600.0
        scores = np.exp2(-hours / self.half_life) + 1e-6
        return Retrieved(items, scores.astype(np.float32), items)
