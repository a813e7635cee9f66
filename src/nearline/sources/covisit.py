"""Co-visitation: what people went on to after an item, weighted by how soon; it moves with each event.

Two stages. The user stage knows a visitor's last `window` items and emits (item, successor, weight) for each event, the
weight falling as 1 / lag; the item stage folds those into one growing hash table per item. At its limit a table halves all
weights and drops those that vanish, so old habits fade.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nearline.features.history import HistoryFold
from nearline.schema.candidates import F32, I32, NOTHING, Retrieved
from nearline.schema.components import (
    ALL_EXPIRED,
    Arrays,
    FitData,
    Fold,
    FoldBatch,
    Stateful,
    UserState,
    World,
)
from nearline.schema.errors import NearlineError
from nearline.schema.event import EVENT, Events, Role
from nearline.schema.kernel import f4, i4, i8, inline, kernel, record, u1
from nearline.schema.query import Query
from nearline.schema.span import Span
from nearline.sources.asked import asked_items
from nearline.sources.tally import first, room_for, scratch, take, tally

UNIT = 720
"""Weight of the direct successor; lag n weighs UNIT // n."""
_FIRST, _EMPTY = 8, -1
MOST = (1 << 31) - 1
CHUNK = 512
"""Places of a table read at a time."""
CLICK, CONVERSION, VIEW = int(Role.CLICK), int(Role.CONVERSION), int(Role.VIEW)


@inline
def _place(neighbours: I32, start: int, room: int, item: int) -> Any:
    """Return where `item` is, or the free place where it would go (Fibonacci hashing, linear probing)."""
    place = (np.uint32(item) * np.uint32(2654435769)) & np.uint32(room - 1)
    while neighbours[start + place] != _EMPTY and neighbours[start + place] != item:
        place = (place + np.uint32(1)) & np.uint32(room - 1)
    return start + place


@inline
def _rehash(neighbours: I32, weights: I32, index: Any, item: int, room: int, target: int, shift: int) -> None:
    """Move an item's table to `target` with `room` places, its weights shifted right."""
    start, old = index[item, 0], index[item, 2]
    held_items = neighbours[start : start + old].copy()
    held_weights = weights[start : start + old].copy()
    neighbours[target : target + room] = _EMPTY
    weights[target : target + room] = 0
    count = 0
    for j in range(old):
        weight = held_weights[j] >> shift
        if held_items[j] != _EMPTY and weight > 0:
            place = _place(neighbours, target, room, held_items[j])
            neighbours[place] = held_items[j]
            weights[place] = weight
            count += 1
    index[item, 0], index[item, 1], index[item, 2] = target, count, room


@kernel(i4[:, ::1], i8[:, ::1], i4[::1], i4[::1], i8[::1], i4[::1], i4[::1], record(EVENT), u1[::1], i8, i8)
def _update(
    recent: I32,
    index: NDArray[np.int64],
    neighbours: I32,
    weights: I32,
    tail: NDArray[np.int64],
    users: I32,
    items: I32,
    events: Events,
    reset: NDArray[np.uint8],
    limit: int,
    begin: int,
) -> int:
    """Return the first event not applied for want of room, or their number."""
    window = recent.shape[1]
    for i in range(begin, len(users)):
        if tail[0] + window * limit > len(neighbours):
            return i
        user, item = users[i], items[i]
        if user < 0:
            continue
        if reset[i] >= ALL_EXPIRED:
            recent[user, :] = 0
        role = events[i].role
        if item < 0 or role < VIEW or role > CONVERSION or events[i].weight <= 0:
            continue
        # Slots are kept plus one, so that blank rows are zeros.
        if recent[user, 0] == item + 1:
            continue
        for lag in range(window):
            before = recent[user, lag] - 1
            if before < 0:
                break
            if before == item:
                continue
            if index[before, 2] == 0:
                _rehash(neighbours, weights, index, before, _FIRST, tail[0], 0)
                tail[0] += _FIRST
            place = _place(neighbours, index[before, 0], index[before, 2], item)
            if neighbours[place] == _EMPTY:
                room = index[before, 2]
                if 4 * (index[before, 1] + 1) > 3 * room:
                    if room < limit:
                        _rehash(neighbours, weights, index, before, 2 * room, tail[0], 0)
                        tail[0] += 2 * room
                    else:
                        _rehash(neighbours, weights, index, before, room, index[before, 0], 1)
                    place = _place(neighbours, index[before, 0], index[before, 2], item)
                    if 4 * (index[before, 1] + 1) > 3 * index[before, 2]:
                        continue
                neighbours[place] = item
                index[before, 1] += 1
            weights[place] = min(MOST, weights[place] + UNIT // (lag + 1))
            index[before, 3] += UNIT // (lag + 1)
        for lag in range(window - 1, 0, -1):
            recent[user, lag] = recent[user, lag - 1]
        recent[user, 0] = item + 1
    return len(users)


class CovisitTables:
    """Each visitor's last items, and each item's successors with weights; 8 bytes a successor.

    Args:
        window: how many items back an event still counts for.
        limit: places of the largest table, a power of two from 8 on; three quarters are used.

    Raises:
        NearlineError: on such a limit the tables would run over their room.
    """

    name = "covisit"

    def __init__(self, window: int = 10, limit: int = 4096) -> None:
        if limit < _FIRST or limit & (limit - 1):
            raise NearlineError("CovisitTables.limit", limit, "give a power of two from 8 on")
        self.window, self.limit = window, limit
        self.users = self.items = 0
        self.recent = np.zeros((0, window), np.int32)
        self.index = np.zeros((0, 4), np.int64)
        self.neighbours = np.full(4 * window * limit, _EMPTY, np.int32)
        self.weights = np.zeros(len(self.neighbours), np.int32)
        self.tail = np.zeros(1, np.int64)

    def update(self, batch: FoldBatch) -> None:
        """Count each event as the successor of its visitor's last items."""
        if not len(batch.users):
            return
        self.users = max(self.users, int(batch.users.max()) + 1)
        self.items = max(self.items, int(batch.items.max()) + 1)
        self.recent, self.index = _room(self.recent, self.users), _room(self.index, self.items)
        done = 0
        while True:
            done = _update(
                self.recent,
                self.index,
                self.neighbours,
                self.weights,
                self.tail,
                batch.users,
                batch.items,
                batch.events,
                batch.reset,
                self.limit,
                done,
            )
            if done == len(batch.users):
                return
            size = 2 * len(self.neighbours)
            neighbours, weights = np.full(size, _EMPTY, np.int32), np.zeros(size, np.int32)
            neighbours[: len(self.neighbours)], weights[: len(self.weights)] = self.neighbours, self.weights
            self.neighbours, self.weights = neighbours, weights

    def forget(self, user: int) -> None:
        """Clear a visitor's last items. What he added to the items' tables is a count among others, and stays."""
        if user < len(self.recent):
            self.recent[user] = 0

    def dump(self) -> Arrays:
        """Return the tables as arrays."""
        end = int(self.tail[0])
        return {
            "recent": self.recent[: self.users],
            "index": self.index[: self.items],
            "neighbours": self.neighbours[:end],
            "weights": self.weights[:end],
        }

    def load(self, arrays: Arrays) -> None:
        """Continue from what `dump` returned."""
        self.recent, self.index = np.array(arrays["recent"]), np.array(arrays["index"])
        self.users, self.items = len(self.recent), len(self.index)
        self.tail[0] = end = len(arrays["neighbours"])
        size = end + 4 * self.window * self.limit
        self.neighbours, self.weights = np.full(size, _EMPTY, np.int32), np.zeros(size, np.int32)
        self.neighbours[:end], self.weights[:end] = arrays["neighbours"], arrays["weights"]

    def nbytes(self) -> int:
        """Return the bytes in use."""
        used = 8 * int(self.tail[0])
        return int(self.recent.nbytes + self.index.nbytes + used)


def _room(array: NDArray[Any], rows: int) -> NDArray[Any]:
    if rows <= len(array):
        return array
    out = np.zeros((max(1024, rows + rows // 2), *array.shape[1:]), array.dtype)
    out[: len(array)] = array
    return out


@kernel(i8[:, ::1], i4[::1], i4[::1], i4[::1], f4[::1], i8, i4[::1], i4[::1], f4[::1], i4[::1])
def _ask(
    index: NDArray[np.int64],
    neighbours: I32,
    weights: I32,
    recent: I32,
    decay: F32,
    n_items: int,
    memory: I32,
    items: I32,
    scores: F32,
    because: I32,
) -> int:
    """Write the items that most often followed the recent ones, best first; return how many."""
    used, others, parts = np.empty(CHUNK, np.uint32), np.empty(CHUNK, np.int32), np.empty(CHUNK, np.float32)
    n = 0
    for j in range(len(recent)):
        item = recent[j]
        if item >= len(index) or index[item, 2] == 0:
            continue
        # The stream may move a table while it is read: take its place once, and stay inside the arrays.
        start, end = index[item, 0], index[item, 0] + index[item, 2]
        if end > min(len(neighbours), len(weights)):
            continue
        scale = np.float32(decay[j] / np.float32(UNIT))
        while start < end:
            held, weight = neighbours[start : min(end, start + CHUNK)], weights[start : min(end, start + CHUNK)]
            # First find the places in use, about half of them, without a branch that could not be guessed.
            count = np.uint64(0)
            for place in range(len(held)):
                used[count] = place
                count += np.uint64(np.uint32(held[place]) < np.uint32(n_items))
            for i in range(int(count)):
                others[i], parts[i] = held[used[i]], scale * np.float32(weight[used[i]])
            n = tally(memory, n, others, parts, int(count), j)
            start += CHUNK
    return take(memory, n, recent, items, scores, because)


class CovisitSource:
    """Items that people went on to after what this visitor touched last.

    Asked with a decay of `decay` per item back (design: recency at query time matters most). The reason is the item that
    contributed most.

    Args:
        quota: candidates at most.
        window: see `CovisitTables`.
        ask: how many of the last items to ask with.
        decay: weight of each further one.
    """

    name = "covisit"
    family = "collaborative"
    counted = True
    reason: ClassVar[str] = "because_you_viewed"
    template: ClassVar[str] = "Because you viewed {title}"
    time_based = False
    tunes: ClassVar[Mapping[str, Span]] = {"window": Span(3, 20), "decay": Span(0.5, 0.95)}

    def __init__(self, quota: int = 200, window: int = 10, ask: int = 12, decay: float = 0.8, limit: int = 4096) -> None:
        self.quota, self.ask = quota, ask
        self.tables = CovisitTables(window, limit)
        self.state: tuple[Stateful, ...] = (self.tables,)
        self.folds: tuple[Fold, ...] = (HistoryFold(),)
        self._decay = (decay ** np.arange(ask)).astype(np.float32)

    def fit(self, data: FitData) -> Arrays:
        """Nothing is learned in batch."""
        return {}

    def bind(self, world: World, arrays: Arrays) -> None:
        """Read this world's histories, and its tables: sources that ask differently share one."""
        self._world = world
        tables = world.parts[self.tables.name]
        assert isinstance(tables, CovisitTables)
        self.tables = tables

    def fetch(self, query: Query, user: UserState, limit: int) -> Retrieved:
        """Return the strongest successors of the last items, and of the page's item."""
        return self.after(asked_items(query, user, self._world, self.ask), limit)

    def after(self, recent: I32, limit: int) -> Retrieved:
        """Return the strongest successors of items (slots, newest first)."""
        if len(recent) == 0:
            return NOTHING
        tables, n = self.tables, self._world.n_items
        found = room_for(limit, n)
        count = _ask(
            tables.index,
            tables.neighbours,
            tables.weights,
            recent,
            self._decay,
            n,
            scratch(n),
            found.items,
            found.scores,
            found.because,
        )
        return first(found, count)
