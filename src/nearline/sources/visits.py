"""Visits: who touched an item last, and what each visitor touched last; a graph of both that moves with each event."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import I32
from nearline.schema.components import ALL_EXPIRED, Arrays, FoldBatch
from nearline.schema.event import EVENT, Events, Role
from nearline.schema.kernel import i4, i8, kernel, record, u1
from nearline.sources.covisit import _room

VIEW, CONVERSION = int(Role.VIEW), int(Role.CONVERSION)
I64 = NDArray[np.int64]


@kernel(i4[:, ::1], i8[::1], i4[:, ::1], i8[::1], i4[::1], i4[::1], record(EVENT), u1[::1])
def _update(
    items_of: I32,
    touched: I64,
    visitors_of: I32,
    visited: I64,
    users: I32,
    items: I32,
    events: Events,
    reset: NDArray[np.uint8],
) -> None:
    own, kept = items_of.shape[1], visitors_of.shape[1]
    for i in range(len(users)):
        user, item = users[i], items[i]
        if user < 0:
            continue
        if reset[i] >= ALL_EXPIRED:
            items_of[user, :] = 0
            touched[user] = 0
        role = events[i].role
        if item < 0 or role < VIEW or role > CONVERSION or events[i].weight <= 0:
            continue
        # Slots are kept plus one, so that blank rows are zeros.
        if touched[user] > 0 and items_of[user, (touched[user] - 1) % own] == item + 1:
            continue
        items_of[user, touched[user] % own] = item + 1
        touched[user] += 1
        if visited[item] > 0 and visitors_of[item, (visited[item] - 1) % kept] == user + 1:
            continue
        visitors_of[item, visited[item] % kept] = user + 1
        visited[item] += 1


class VisitTables:
    """The last items of each visitor and the last visitors of each item, as rings of slots plus one.

    Args:
        items: of a visitor that are kept, 4 bytes each.
        visitors: of an item that are kept, 4 bytes each.
    """

    name = "visits"

    def __init__(self, items: int = 16, visitors: int = 32) -> None:
        self.items_of, self.touched = np.zeros((0, items), np.int32), np.zeros(0, np.int64)
        self.visitors_of, self.visited = np.zeros((0, visitors), np.int32), np.zeros(0, np.int64)
        self._users = self._items = 0

    def update(self, batch: FoldBatch) -> None:
        """Add each touch to the visitor's ring and to the item's."""
        if not len(batch.users):
            return
        self._users = max(self._users, int(batch.users.max()) + 1)
        self._items = max(self._items, int(batch.items.max()) + 1)
        self.items_of, self.touched = _room(self.items_of, self._users), _room(self.touched, self._users)
        self.visitors_of, self.visited = _room(self.visitors_of, self._items), _room(self.visited, self._items)
        _update(
            self.items_of,
            self.touched,
            self.visitors_of,
            self.visited,
            batch.users,
            batch.items,
            batch.events,
            batch.reset,
        )

    def forget(self, user: int) -> None:
        """Clear what a visitor touched: walks that come to him end there."""
        if user < len(self.items_of):
            self.items_of[user], self.touched[user] = 0, 0

    def dump(self) -> Arrays:
        """Return the tables as arrays."""
        return {
            "items_of": self.items_of[: self._users],
            "touched": self.touched[: self._users],
            "visitors_of": self.visitors_of[: self._items],
            "visited": self.visited[: self._items],
        }

    def load(self, arrays: Arrays) -> None:
        """Continue from what `dump` returned."""
        self.items_of, self.touched = np.array(arrays["items_of"]), np.array(arrays["touched"])
        self.visitors_of, self.visited = np.array(arrays["visitors_of"]), np.array(arrays["visited"])
        self._users, self._items = len(self.items_of), len(self.visitors_of)

    def nbytes(self) -> int:
        """Return the bytes in use."""
        return int(self.items_of.nbytes + self.touched.nbytes + self.visitors_of.nbytes + self.visited.nbytes)
