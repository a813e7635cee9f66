"""From 64-bit keys to dense slots: an open-addressing table, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import I32
from nearline.schema.kernel import i4, i8, kernel, u8

Keys = NDArray[np.uint64]


@kernel(u8[::1], i4[::1], u8[::1], i4[::1])
def _find(table: Keys, slots: I32, keys: Keys, out: I32) -> None:
    mask = np.uint64(len(table) - 1)
    for i in range(len(keys)):
        key = keys[i]
        out[i] = -1
        if key == 0:
            continue
        place = key & mask
        while table[place] != 0:
            if table[place] == key:
                out[i] = slots[place]
                break
            place = (place + np.uint64(1)) & mask


@kernel(u8[::1], i4[::1], u8[::1], u8[::1], i8, i4[::1])
def _intern(table: Keys, slots: I32, order: Keys, keys: Keys, used: int, out: I32) -> int:
    mask = np.uint64(len(table) - 1)
    for i in range(len(keys)):
        key = keys[i]
        if key == 0:
            out[i] = -1
            continue
        place = key & mask
        while table[place] != 0 and table[place] != key:
            place = (place + np.uint64(1)) & mask
        if table[place] == 0:
            slots[place] = used
            order[used] = key
            table[place] = key
            used += 1
        out[i] = slots[place]
    return used


class KeyIndex:
    """Slots 0, 1, 2, ... in the order in which keys first came; never reused. Key 0 has slot -1."""

    def __init__(self) -> None:
        self._used = 0
        self._order: Keys = np.zeros(0, np.uint64)
        self._allocate(1024)

    def _allocate(self, size: int) -> None:
        previous = self._order[: self._used]
        table, slots = np.zeros(size, np.uint64), np.zeros(size, np.int32)
        order = np.zeros(size // 2, np.uint64)
        _intern(table, slots, order, previous, 0, np.empty(len(previous), np.int32))
        # One assignment, when it is full: a reader in another thread sees the old table or the new one, whole.
        self._table = table, slots
        self._order = order

    def __len__(self) -> int:
        """Return the number of keys."""
        return self._used

    @property
    def keys(self) -> Keys:
        """All keys by slot, `[n] uint64`."""
        return self._order[: self._used]

    def find(self, keys: NDArray[Any]) -> I32:
        """Return slots, -1 where unknown, `[n] int32`."""
        out = np.empty(len(keys), np.int32)
        table, slots = self._table
        _find(table, slots, np.ascontiguousarray(keys, np.uint64), out)
        return out

    def find_one(self, key: int) -> int:
        """Return the slot of one key, -1 where unknown."""
        return int(self.find(np.array([key], np.uint64))[0])

    def intern(self, keys: NDArray[Any]) -> I32:
        """Return slots, giving new ones to new keys in order, `[n] int32`."""
        need = self._used + len(keys)
        if need > len(self._order):
            # Distinct keys may be far fewer than keys, so make room only as they really come.
            need = self._used + len(np.unique(keys))
            if need > len(self._order):
                self._allocate(1 << int(np.ceil(np.log2(need * 2 + 2))))
        out = np.empty(len(keys), np.int32)
        table, slots = self._table
        wanted = np.ascontiguousarray(keys, np.uint64)
        self._used = _intern(table, slots, self._order, wanted, self._used, out)
        return out
