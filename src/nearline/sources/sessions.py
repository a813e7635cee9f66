"""Sessions: the items of recent sessions that share some with this one (V-SKNN, Ludewig and Jannach 2018), streamed."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nearline.features.history import HistoryFold
from nearline.schema.candidates import F32, I32, NOTHING, Retrieved
from nearline.schema.clock import MINUTE
from nearline.schema.components import Arrays, FitData, Fold, FoldBatch, Stateful, UserState, World
from nearline.schema.event import EVENT, Events, Role
from nearline.schema.kernel import f4, i4, i8, kernel, record, u1
from nearline.schema.query import Query
from nearline.sources.asked import asked_items
from nearline.sources.covisit import _room
from nearline.sources.tally import first, room_for, scratch, take, tally

VIEW, CONVERSION = int(Role.VIEW), int(Role.CONVERSION)
PLACES = 2048
"""Of the table of sessions that a question meets; at most half of them are used."""


@kernel(
    i8[:, ::1], i8[::1], i4[:, ::1], i8[:, ::1], i8[::1], i8[::1], i4[::1], i4[::1], record(EVENT), u1[::1], i8
)  # fmt: skip
def _update(
    users: NDArray[np.int64],
    number_of: NDArray[np.int64],
    held: I32,
    rings: NDArray[np.int64],
    heads: NDArray[np.int64],
    newest: NDArray[np.int64],
    batch_users: I32,
    batch_items: I32,
    events: Events,
    reset: NDArray[np.uint8],
    gap: int,
) -> None:
    n, longest, depth = len(number_of), held.shape[1], rings.shape[1]
    for i in range(len(batch_users)):
        user, item = batch_users[i], batch_items[i]
        if user < 0:
            continue
        if reset[i] > 0:
            users[user, :] = 0
        role, ts = events[i].role, events[i].ts
        if item < 0 or role < VIEW or role > CONVERSION or events[i].weight <= 0:
            continue
        number = users[user, 0]
        # Numbers count up from 1; a session's place is given to another after n of them.
        if number == 0 or ts - users[user, 1] > gap or number_of[number % n] != number:
            newest[0] += 1
            number = newest[0]
            number_of[number % n] = number
            held[number % n, :] = 0
            users[user, 0] = number
        users[user, 1] = max(users[user, 1], ts)
        own = held[number % n]
        for place in range(longest):
            if own[place] == item + 1:
                break
            if own[place] == 0:
                own[place] = item + 1
                rings[item, heads[item] % depth] = number
                heads[item] += 1
                break


class SessionTables:
    """The last sessions with their items, and by item the last sessions it was touched in.

    Args:
        sessions: how many are kept, 4 * `longest` + 8 bytes each.
        longest: items of a session that are kept, the first ones.
        depth: sessions kept by item, 8 bytes each.
        gap: ms without an event after which a new session begins.
    """

    name = "sessions"

    def __init__(self, sessions: int = 1 << 16, longest: int = 20, depth: int = 32, gap: int = 30 * MINUTE) -> None:
        self.longest, self.depth, self.gap = longest, depth, gap
        self.users = np.zeros((0, 2), np.int64)
        self.number_of = np.zeros(sessions, np.int64)
        self.held = np.zeros((sessions, longest), np.int32)
        self.rings = np.zeros((0, depth), np.int64)
        self.heads = np.zeros(0, np.int64)
        self.newest = np.zeros(1, np.int64)
        self._users = self._items = 0

    def update(self, batch: FoldBatch) -> None:
        """Add each touched item to its visitor's session."""
        if not len(batch.users):
            return
        self._users = max(self._users, int(batch.users.max()) + 1)
        self._items = max(self._items, int(batch.items.max()) + 1)
        self.users, self.rings = _room(self.users, self._users), _room(self.rings, self._items)
        self.heads = _room(self.heads, self._items)
        _update(
            self.users,
            self.number_of,
            self.held,
            self.rings,
            self.heads,
            self.newest,
            batch.users,
            batch.items,
            batch.events,
            batch.reset,
            self.gap,
        )

    def forget(self, user: int) -> None:
        """Clear a visitor's session, with what he touched in it."""
        if user < len(self.users):
            number = self.users[user, 0]
            place = number % len(self.number_of)
            if number and self.number_of[place] == number:
                self.number_of[place], self.held[place] = 0, 0
            self.users[user] = 0

    def dump(self) -> Arrays:
        """Return the tables as arrays."""
        return {
            "users": self.users[: self._users],
            "number_of": self.number_of,
            "held": self.held,
            "rings": self.rings[: self._items],
            "heads": self.heads[: self._items],
            "newest": self.newest,
        }

    def load(self, arrays: Arrays) -> None:
        """Continue from what `dump` returned."""
        self.users, self.rings, self.heads = (np.array(arrays[name]) for name in ("users", "rings", "heads"))
        self.number_of, self.held, self.newest = (np.array(arrays[name]) for name in ("number_of", "held", "newest"))
        self._users, self._items = len(self.users), len(self.heads)

    def nbytes(self) -> int:
        """Return the bytes in use."""
        arrays: tuple[NDArray[Any], ...] = (self.users, self.number_of, self.held, self.rings, self.heads)
        return int(sum(array.nbytes for array in arrays))


@kernel(
    i8[::1], i4[:, ::1], i8[:, ::1], i4[::1], f4[::1], i8, i8, i4[::1], i4[::1], f4[::1], i4[::1]
)  # fmt: skip
def _ask(
    number_of: NDArray[np.int64],
    held: I32,
    rings: NDArray[np.int64],
    recent: I32,
    decay: F32,
    own: int,
    n_items: int,
    memory: I32,
    items: I32,
    scores: F32,
    because: I32,
) -> int:
    """Weigh the sessions that share recent items by what they share, then their items; return how many were written."""
    met, weight, newest = np.zeros(PLACES, np.int64), np.zeros(PLACES, np.float32), np.zeros(PLACES, np.int32)
    used = np.empty(PLACES // 2, np.int32)
    count = 0
    for j in range(len(recent)):
        if recent[j] >= len(rings):
            continue
        for at in range(rings.shape[1]):
            number = rings[recent[j], at]
            if number == 0 or number == own or number_of[number % len(number_of)] != number:
                continue
            place = np.int64((np.uint64(number) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(53))
            while met[place] != 0 and met[place] != number:
                place = (place + 1) % PLACES
            if met[place] == 0:
                if count == len(used):
                    continue
                met[place], newest[place] = number, j
                used[count] = place
                count += 1
            weight[place] += decay[j]
    n = 0
    others, parts = np.empty(held.shape[1], np.int32), np.empty(held.shape[1], np.float32)
    for u in range(count):
        place = used[u]
        row = held[met[place] % len(held)]
        size = 0
        for at in range(len(row)):
            if 0 < row[at] <= n_items:
                others[size], parts[size] = row[at] - 1, weight[place]
                size += 1
        n = tally(memory, n, others, parts, size, newest[place])
    return take(memory, n, recent, items, scores, because)


class SessionSource:
    """Items of recent sessions of others that share items with what this visitor touched last.

    A session weighs the sum of decayʲ over the shared items, j steps back. Off by default: see `docs/concepts/sources.md`.

    Args:
        quota: candidates at most.
        ask: how many of the last items to ask with.
        decay: weight of each further one.
    """

    name = "sessions"
    default = False
    reason: ClassVar[str] = "because_you_viewed"
    template: ClassVar[str] = "Because you viewed {title}"
    time_based = True

    def __init__(self, quota: int = 100, ask: int = 8, decay: float = 0.7) -> None:
        self.quota, self.ask = quota, ask
        self.tables = SessionTables()
        self.state: tuple[Stateful, ...] = (self.tables,)
        self.folds: tuple[Fold, ...] = (HistoryFold(),)
        self._decay = (decay ** np.arange(ask)).astype(np.float32)

    def fit(self, data: FitData) -> Arrays:
        """Nothing is learned in batch."""
        return {}

    def bind(self, world: World, arrays: Arrays) -> None:
        """Read this world's histories and sessions."""
        self._world = world
        tables = world.parts[self.tables.name]
        assert isinstance(tables, SessionTables)
        self.tables = tables

    def fetch(self, query: Query, user: UserState, limit: int) -> Retrieved:
        """Return the items of the sessions nearest to the last items, and to the page's item."""
        recent = asked_items(query, user, self._world, self.ask)
        if len(recent) == 0:
            return NOTHING
        tables, n = self.tables, self._world.n_items
        own = int(tables.users[user.slot, 0]) if 0 <= user.slot < len(tables.users) else 0
        found = room_for(limit, n)
        count = _ask(
            tables.number_of,
            tables.held,
            tables.rings,
            recent,
            self._decay,
            own,
            n,
            scratch(n),
            found.items,
            found.scores,
            found.because,
        )
        return first(found, count)
