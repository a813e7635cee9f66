"""Heads: one ordering of the catalogue for everybody, renewed beside the requests; half of it in the visitor's categories."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nearline.features.affinity import AffinityFold
from nearline.features.session import SessionFold
from nearline.schema.candidates import F32, I32, NOTHING, Retrieved
from nearline.schema.clock import SECOND
from nearline.schema.components import Arrays, FitData, Fold, Stateful, UserState, World
from nearline.schema.kernel import f4, i4, kernel, u4
from nearline.schema.query import Query
from nearline.schema.top import best
from nearline.sources.tally import first, room_for


@kernel(i4[::1], f4[::1], u4[::1], u4[::1], i4[::1], u4, i4[::1], f4[::1], i4[::1])
def _choose(
    order: I32,
    order_scores: F32,
    order_categories: NDArray[np.uint32],
    liked: NDArray[np.uint32],
    weights: I32,
    current: int,
    items: I32,
    scores: F32,
    because: I32,
) -> int:
    """Write the head of the order and the heads of the visitor's categories, best first; return how many."""
    limit = len(items)
    # The three heaviest categories, then that of the session, each once.
    wanted, held = np.zeros(4, np.uint32), np.zeros(4, np.int64)
    n_wanted = 0
    used = np.zeros(len(liked), np.bool_)
    for turn in range(4):
        found = current
        if turn < 3:
            heaviest = -1
            for j in range(len(liked)):
                if not used[j] and (heaviest < 0 or weights[j] > weights[heaviest]):
                    heaviest = j
            if heaviest < 0:
                continue
            used[heaviest] = True
            found = liked[heaviest]
        fine = found != 0
        for j in range(n_wanted):
            fine = fine and wanted[j] != found
        if fine:
            wanted[n_wanted] = found
            n_wanted += 1
    present = 0
    for j in range(n_wanted):
        found_in = 0
        for place in range(len(order)):
            found_in += int(order_categories[place] == wanted[j])
        present += found_in > 0
    overall = limit if present == 0 else limit // 2
    each = 0 if present == 0 else -(-(limit - limit // 2) // present)
    n = 0
    for place in range(len(order)):
        chosen = place < overall
        for j in range(n_wanted):
            if order_categories[place] == wanted[j]:
                chosen = chosen or held[j] < each
                held[j] += 1
        if chosen:
            if n == limit:
                break
            items[n], scores[n], because[n] = order[place], order_scores[place], -1
            n += 1
    return n


_Order = tuple[I32, F32, NDArray[np.uint32]]
"""The catalogue's head: items, scores, categories."""


class HeadSource(ABC):
    """A source of the catalogue's head by some order: half of the quota overall, half in the visitor's categories.

    Args:
        quota: candidates at most.
        refresh: ms for which one ordering of the catalogue serves all requests.
        depth: how many items the ordering keeps.
        folds: that `weigh` reads.
    """

    name: str
    reason: ClassVar[str] = "trending"
    template: ClassVar[str] = "Trending now"
    time_based = False
    at_once = True
    """Whether the next list already shows a change of a catalogue that is shorter than `depth`."""

    def __init__(self, quota: int, refresh: int = SECOND, depth: int = 2000, folds: tuple[Fold, ...] = ()) -> None:
        self.quota, self.refresh, self.depth = quota, refresh, depth
        self.state: tuple[Stateful, ...] = ()
        self.folds: tuple[Fold, ...] = (*folds, SessionFold(), AffinityFold())

    @abstractmethod
    def weigh(self, items: I32, now: int) -> F32:
        """Return a score for each of the available items (slots), `[n] float32`; what is not above 0 stays out."""

    def fit(self, data: FitData) -> Arrays:
        """Nothing is learned in batch."""
        return {}

    def bind(self, world: World, arrays: Arrays) -> None:
        """Read this world's item rows and catalogue."""
        self._world = world
        self._order: _Order | None = None
        self._at, self._catalog_version = -(1 << 62), -1

    def fetch(self, query: Query, user: UserState, limit: int) -> Retrieved:
        """Return the head overall and that of the visitor's categories."""
        items, scores, categories = self._ordered(query.now)
        if len(items) == 0:
            return NOTHING
        found, liked = room_for(limit, len(items)), user.rows["affinity"]
        count = _choose(
            items,
            scores,
            categories,
            liked["categories"][0],
            liked["category_weights"][0],
            user.rows["session"]["category"][0],
            found.items,
            found.scores,
            found.because,
        )
        return first(found, count)

    def _ordered(self, now: int) -> _Order:
        # Where nobody renews it (a replay), or it is so short that a new item must be there at once, a request does.
        old = abs(now - self._at) >= 4 * self.refresh
        if self._order is None or old or (self.at_once and len(self._order[0]) < self.depth and self._changed):
            self._order = self._make(now)
        return self._order

    def renew(self, now: int) -> None:
        """Order the catalogue anew."""
        if self._changed or abs(now - self._at) >= self.refresh:
            self._order = self._make(now)

    @property
    def _changed(self) -> bool:
        return self._catalog_version != self._world.catalog_version

    def _make(self, now: int) -> _Order:
        self._at, self._catalog_version = now, self._world.catalog_version
        available = np.flatnonzero(self._world.columns.available).astype(np.int32)
        scores = self.weigh(available, now)
        places = best(scores, self.depth)
        items = available[places]
        return items, scores[places], self._world.columns.category[items]
