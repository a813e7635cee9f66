"""Suppression: what has left a visitor's lists (bought, disliked, seen through), item or category, and until when.

Exact up to 4,096 entries a visitor; beyond that the entry that ends first makes room.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import I32
from nearline.schema.components import Arrays, FoldBatch
from nearline.schema.event import EVENT, Events
from nearline.schema.kernel import i4, i8, kernel, record, u8
from nearline.schema.kinds import Kinds

LIMIT = 4096
_FIRST = 8


@kernel(i8[:, ::1], u8[::1], i8[::1], i8[::1], i4[::1], record(EVENT), i8[::1], i8[::1], i8)
def _update(
    index: NDArray[np.int64],
    keys: NDArray[np.uint64],
    until: NDArray[np.int64],
    tail: NDArray[np.int64],
    users: I32,
    events: Events,
    item_ms: NDArray[np.int64],
    category_ms: NDArray[np.int64],
    begin: int,
) -> int:
    """Return the first event not applied for want of room, or their number."""
    for i in range(begin, len(users)):
        slot = users[i]
        if slot < 0:
            continue
        event: Any = events[i]
        for scope in range(2):
            length = item_ms[event.kind] if scope == 0 else category_ms[event.kind]
            key = event.item if scope == 0 else np.uint64(event.category)
            if length <= 0 or key == 0:
                continue
            end = event.ts + length
            start, count, room = index[slot, 0], index[slot, 1], index[slot, 2]
            place: int = -1
            for j in range(start, start + count):
                if keys[j] == key:
                    place = j
                    break
            if place >= 0:
                until[place] = max(until[place], end)
                continue
            if count == LIMIT:
                place = start
                for j in range(start, start + count):
                    if until[j] < until[place]:
                        place = j
            else:
                if count == room:
                    grown = max(_FIRST, 2 * room)
                    if tail[0] + grown > len(keys):
                        return i
                    for j in range(count):
                        keys[tail[0] + j] = keys[start + j]
                        until[tail[0] + j] = until[start + j]
                        # Nothing stays behind: `forget` clears only the place in use.
                        keys[start + j] = 0
                        until[start + j] = 0
                    start = tail[0]
                    tail[0] += grown
                    index[slot, 0] = start
                    index[slot, 2] = grown
                place = start + count
                index[slot, 1] = count + 1
            keys[place] = key
            until[place] = end
    return len(users)


class SuppressionLists:
    """One growing list of (key, until ms UTC) a visitor, in a shared arena; 16 bytes an entry.

    Item keys have 64 bits and category keys 32, so both live in one list.

    Args:
        kinds: the application's event types, which say what suppresses what.
    """

    name = "suppression"

    def __init__(self, kinds: Kinds) -> None:
        self.kinds = kinds
        self.users = 0
        self.index = np.zeros((0, 3), np.int64)
        self.keys = np.zeros(1024, np.uint64)
        self.until = np.zeros(1024, np.int64)
        self.tail = np.zeros(1, np.int64)

    def update(self, batch: FoldBatch) -> None:
        """Enter what each event suppresses."""
        if not len(batch.users):
            return
        self.users = max(self.users, int(batch.users.max()) + 1)
        if self.users > len(self.index):
            self.index = _grow(self.index, self.users)
        done, kinds = 0, self.kinds
        while True:
            done = _update(
                self.index,
                self.keys,
                self.until,
                self.tail,
                batch.users,
                batch.events,
                kinds.suppress_item,
                kinds.suppress_category,
                done,
            )
            if done == len(batch.users):
                return
            self.keys = _grow(self.keys, len(self.keys) + 2 * LIMIT)
            self.until = _grow(self.until, len(self.keys))

    def of(self, user: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Return a visitor's keys and until when (ms UTC), `[n]` each."""
        if not 0 <= user < len(self.index):
            return self.keys[:0], self.until[:0]
        start, count, _ = self.index[user]
        return self.keys[start : start + count], self.until[start : start + count]

    def forget(self, user: int) -> None:
        """Empty a visitor's list, its bytes too; its place is not used again."""
        if 0 <= user < len(self.index):
            start, count, _ = self.index[user]
            self.keys[start : start + count] = 0
            self.until[start : start + count] = 0
            self.index[user] = 0

    def dump(self) -> Arrays:
        """Return the lists as arrays."""
        end = int(self.tail[0])
        return {"index": self.index[: self.users], "keys": self.keys[:end], "until": self.until[:end]}

    def load(self, arrays: Arrays) -> None:
        """Continue from what `dump` returned."""
        self.index = np.array(arrays["index"])
        self.users = len(self.index)
        self.tail[0] = len(arrays["keys"])
        self.keys = _grow(arrays["keys"], len(arrays["keys"]) + 1024)
        self.until = _grow(arrays["until"], len(self.keys))

    def nbytes(self) -> int:
        """Return the bytes in use."""
        return int(self.index.nbytes + self.keys.nbytes + self.until.nbytes)


def _grow(array: NDArray[Any], rows: int) -> NDArray[Any]:
    out = np.zeros((max(rows, 2 * len(array)), *array.shape[1:]), array.dtype)
    out[: len(array)] = array
    return out
