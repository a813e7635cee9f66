"""A source of whole item-item models: learned in batch, asked with the recent history by adding up rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from nearline.features.history import HistoryFold
from nearline.schema.candidates import F32, I32, NOTHING, Retrieved
from nearline.schema.components import Arrays, FitData, Fold, Stateful, UserState, World
from nearline.schema.query import Query
from nearline.sources.asked import asked_items
from nearline.sources.dense import ask, told, unpacked
from nearline.sources.row_map import RowMap
from nearline.sources.tally import first, room_for, scratch


class DenseSource(ABC):
    """Models of a release (`keys`, `model`, `units`, see `dense.packed`), the rows of this process's items, how they are asked.

    Args:
        quota: candidates at most.
        asked: weight of each of the last items by model, newest first, by which candidates are found, `[n_models, m] float32`.
        ways: the same for each column that is told, `[n_tells, n_models, m] float32`.
    """

    family = "collaborative"
    reason: ClassVar[str] = "because_you_viewed"
    template: ClassVar[str] = "Because you viewed {title}"
    time_based = False
    _mapped: RowMap | None = None

    def __init__(self, quota: int, asked: F32, ways: F32) -> None:
        self.quota = quota
        self._asked, self._ways = np.ascontiguousarray(asked), np.ascontiguousarray(ways)
        self.state: tuple[Stateful, ...] = ()
        self.folds: tuple[Fold, ...] = (HistoryFold(),)

    @abstractmethod
    def fit(self, data: FitData) -> Arrays:
        """Return `keys [n] uint64`, `model [n_models, n, n] int16` and `units [n_models, n] float32`, or `{}`."""

    def bind(self, world: World, arrays: Arrays) -> None:
        """Take the models, and the rows of this process's items."""
        self._world, self._mapped = world, None
        if arrays:
            self._mapped = RowMap(world, arrays["keys"])
            self._model, self._units = unpacked(arrays)

    def fetch(self, query: Query, user: UserState, limit: int) -> Retrieved:
        """Return the items that the last ones, and the page's, speak for."""
        if self._mapped is None:
            return NOTHING
        recent = asked_items(query, user, self._world, self._asked.shape[1])
        if len(recent) == 0:
            return NOTHING
        row_of, slots = self._mapped.current()
        found, memory = room_for(limit, len(slots)), scratch(len(slots))
        count = ask(
            recent, self._asked, row_of, self._model, self._units, slots, memory, found.items, found.scores, found.because
        )
        return first(found, count)

    def tell(self, query: Query, user: UserState, items: I32, out: F32) -> None:
        """Fill `[n_tells, n] float32`: what the last items say of given ones, in each way."""
        if self._mapped is None:
            out[:] = 0.0
            return
        recent = asked_items(query, user, self._world, self._ways.shape[2])
        told(recent, self._ways, self._mapped.current()[0], self._model, self._units, items, out)
