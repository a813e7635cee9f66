"""Walk: random walks from the last items to who touched them last, to what these touched, and on (Pixie, Eksombatchai 2018)."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nearline.features.history import HistoryFold
from nearline.schema.candidates import F32, I32, NOTHING, Retrieved
from nearline.schema.components import Arrays, FitData, Fold, Stateful, UserState, World
from nearline.schema.kernel import f4, f8, i4, i8, inline, kernel, u8
from nearline.schema.query import Query
from nearline.sources.asked import asked_items
from nearline.sources.tally import first, room_for, scratch, take, tally
from nearline.sources.visits import VisitTables

PLACES = 4096
"""Of the table of items that the walks of one start meet; at most half of them are used."""


@inline
def _next(state: Any) -> Any:
    """Return the next state of a random number generator (xorshift64*)."""
    state ^= state >> np.uint64(12)
    state ^= state << np.uint64(25)
    state ^= state >> np.uint64(27)
    return state


@inline
def _drawn(state: Any) -> Any:
    """Return a state's number in [0, 1)."""
    return np.float64((state * np.uint64(0x2545F4914F6CDD1D)) >> np.uint64(11)) / 9007199254740992.0


@kernel(i4[:, ::1], i8[::1], i4[:, ::1], i8[::1], i4[::1], f4[::1], i8, i8, i8, f8, f8, u8, i4[::1], i4[::1], f4[::1], i4[::1])
def _walk(
    items_of: I32,
    touched: NDArray[np.int64],
    visitors_of: I32,
    visited: NDArray[np.int64],
    recent: I32,
    share: F32,
    own: int,
    n_items: int,
    steps: int,
    onward: float,
    ahead: float,
    seed: int,
    memory: I32,
    items: I32,
    scores: F32,
    because: I32,
) -> int:
    """Walk, count where walks come by, write the items by the sum over starts of the roots of counts; return how many."""
    kept, width = visitors_of.shape[1], items_of.shape[1]
    met, counts, used = np.zeros(PLACES, np.int32), np.zeros(PLACES, np.int32), np.empty(PLACES // 2, np.int32)
    others, parts = np.empty(PLACES // 2, np.int32), np.empty(PLACES // 2, np.float32)
    state: Any = seed | np.uint64(1)
    n = 0
    for j in range(len(recent)):
        start = recent[j]
        if start >= len(visitors_of) or visited[start] == 0:
            continue
        found, item = 0, start
        for _ in range(np.int64(steps * share[j])):
            state = _next(state)
            user = visitors_of[item, np.int64(_drawn(state) * min(kept, visited[item]))] - 1
            size = min(np.int64(width), touched[user]) if 0 <= user < len(items_of) else 0
            if user == own or size < 2:
                item = start
                continue
            state = _next(state)
            drawn = _drawn(state)
            back = np.int64(-1)
            if drawn < ahead:
                # What he went on to from here: the next one half the time, the one after it a quarter, ...
                drawn /= ahead
                for steps_back in range(1, size):
                    if items_of[user, (touched[user] - 1 - steps_back) % width] == item + 1:
                        back = np.int64(steps_back - 1)
                        while drawn < 0.5 and back > 0:
                            drawn *= 2.0
                            back -= 1
                        break
            else:
                back = np.int64((drawn - ahead) / (1.0 - ahead) * size)
            other = items_of[user, (touched[user] - 1 - back) % width] - 1 if back >= 0 else -1
            if other < 0 or other >= min(n_items, len(visited)):
                item = start
                continue
            if other != start:
                place = np.int64(np.uint64(other) * np.uint64(2654435769) >> np.uint64(20)) % PLACES
                while met[place] != 0 and met[place] != other + 1:
                    place = (place + 1) % PLACES
                if met[place] == 0 and found < len(used):
                    met[place] = other + 1
                    used[found] = place
                    found += 1
                if met[place] != 0:
                    counts[place] += 1
            state = _next(state)
            item = other if _drawn(state) < onward else start
        for k in range(found):
            place = used[k]
            others[k], parts[k] = met[place] - 1, np.sqrt(np.float32(counts[place]))
            met[place], counts[place] = 0, 0
        n = tally(memory, n, others, parts, found, j)
    return take(memory, n, recent, items, scores, because)


class WalkSource:
    """Items that walks from the last items come by: to one of the last visitors of each, to one of his last items, and on.

    Each of the last items starts its share of the walks, the newest most. An item's score is the sum over the starts of the
    root of how often walks from there came by, so that what several lead to counts more than what one does. The reason is the
    path's first item. The same graph, question and seed walk the same way.

    Args:
        quota: candidates at most.
        steps: of all walks together, each to a visitor and to an item of his.
        onward: chance to go on from there, and not from the start again.
        ahead: chance to take what the visitor went on to after the item, and not any of his last items.
        ask: how many of the last items walks start from.
        decay: share of each further one.
        seed: of the walks.
    """

    name = "walk"
    family = "collaborative"
    default = False
    reason: ClassVar[str] = "because_you_viewed"
    template: ClassVar[str] = "Visitors of {title} went on to this"
    time_based = False

    def __init__(
        self,
        quota: int = 200,
        steps: int = 1000,
        onward: float = 0.5,
        ahead: float = 0.7,
        ask: int = 12,
        decay: float = 0.8,
        seed: int = 1,
    ) -> None:
        self.quota, self.steps, self.onward, self.ahead, self.ask, self.seed = quota, steps, onward, ahead, ask, seed
        self.tables = VisitTables()
        self.state: tuple[Stateful, ...] = (self.tables,)
        self.folds: tuple[Fold, ...] = (HistoryFold(),)
        self._decay = (decay ** np.arange(ask)).astype(np.float32)

    def fit(self, data: FitData) -> Arrays:
        """Nothing is learned in batch."""
        return {}

    def bind(self, world: World, arrays: Arrays) -> None:
        """Read this world's histories and visits."""
        self._world = world
        tables = world.parts[self.tables.name]
        assert isinstance(tables, VisitTables)
        self.tables = tables

    def fetch(self, query: Query, user: UserState, limit: int) -> Retrieved:
        """Return the items that walks from the last items, and from the page's item, come by most."""
        recent = asked_items(query, user, self._world, self.ask)
        if len(recent) == 0:
            return NOTHING
        tables, n = self.tables, self._world.n_items
        share = self._decay[: len(recent)]
        found = room_for(limit, n)
        count = _walk(
            tables.items_of,
            tables.touched,
            tables.visitors_of,
            tables.visited,
            recent,
            share / share.sum(),
            user.slot,
            n,
            self.steps,
            self.onward,
            self.ahead,
            np.bitwise_xor.reduce(self._world.columns.key.take(recent, mode="clip")) ^ np.uint64(self.seed),
            scratch(n),
            found.items,
            found.scores,
            found.because,
        )
        return first(found, count)
