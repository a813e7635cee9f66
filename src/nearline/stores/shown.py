"""Shown: which items each visitor was shown of late, how often and since when; a bounded table, moved by impressions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.schema.components import Arrays
from nearline.schema.kernel import i4, i8, inline, kernel, u4, u8
from nearline.schema.showings import Shown

WAYS = 8
"""Rows that a visitor may be in; of those, the one used longest ago makes room for a newcomer."""
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]


@inline
def _row(visitors: Any, visitor: Any) -> Any:
    """Return a visitor's row, -1 where he has none."""
    begin = np.int64(visitor % np.uint64(len(visitors) // WAYS)) * WAYS
    found: Any = np.int64(-1)
    for way in range(begin, begin + WAYS):
        if visitors[way] == visitor:
            found = way
    return found


@kernel(u8[::1], u4[::1], u8[:, ::1], u4[:, ::1], u4[:, ::1], u4[:, ::1], u8[::1], u4[::1], i4[::1], u8[::1], i8)
def _note(
    visitors: U64,
    touched: U32,
    keys: U64,
    first: U32,
    last: U32,
    count: U32,
    who: U64,
    when: U32,
    lengths: NDArray[np.int32],
    items: U64,
    window: int,
) -> None:
    """Enter lists: whom, when (seconds), how many items each, and the items of all."""
    at: int = 0
    for i in range(len(who)):
        row = _row(visitors, who[i])
        if row < 0:
            begin = np.int64(who[i] % np.uint64(len(visitors) // WAYS)) * WAYS
            row = begin
            for way in range(begin, begin + WAYS):
                if touched[way] < touched[row]:
                    row = way
            visitors[row] = who[i]
            keys[row, :] = 0
            first[row, :] = 0
            last[row, :] = 0
            count[row, :] = 0
        now = when[i]
        touched[row] = max(touched[row], now)
        for j in range(at, at + lengths[i]):
            place: int = 0
            for k in range(keys.shape[1]):
                if keys[row, k] == items[j]:
                    place = k
                    break
                if last[row, k] < last[row, place]:
                    place = k
            if keys[row, place] != items[j] or np.int64(now) - np.int64(first[row, place]) >= window:
                keys[row, place] = items[j]
                first[row, place] = now
                count[row, place] = 0
            last[row, place] = max(last[row, place], now)
            count[row, place] += 1
        at += lengths[i]


@kernel(u8[::1], u8)
def _find(visitors: U64, visitor: int) -> int:
    return int(_row(visitors, np.uint64(visitor)))


class ShownItems:
    """A table of visitors, a row of items each: some 20 bytes an item, never more than `most` visitors of `places` items.

    Of a visitor's items, the one shown longest ago makes room for another.

    One thread notes; others may read.

    Args:
        window: seconds after which a count begins anew.
        places: items a visitor.
        most: visitors.
    """

    def __init__(self, window: int, places: int = 48, most: int = 1 << 15) -> None:
        self.window, self.places, self.most = window, places, most
        self._rows = 0
        self._table = _table(min(most, 1024), places)

    def note(self, visitors: U64, seconds: U32, lengths: NDArray[np.int32], items: U64) -> None:
        """Enter lists.

        Args:
            visitors: keys, `[n] uint64`.
            seconds: when, s UTC, `[n] uint32`.
            lengths: items of each, `[n] int32`.
            items: keys of all of them, in order, `[sum of lengths] uint64`.
        """
        self._rows += len(visitors)
        if 2 * self._rows > len(self._table[0]) and len(self._table[0]) < self.most:
            self._rows = int(np.count_nonzero(self._table[0])) + len(visitors)
            if 2 * self._rows > len(self._table[0]):
                self._grow()
        held, touched, table, first, last, times = self._table
        _note(held, touched, table, first, last, times, visitors, seconds, lengths, items, self.window)

    def _grow(self) -> None:
        larger = _table(min(self.most, 4 * len(self._table[0])), self.places)
        _copied(self._table, larger)
        self._table = larger

    def of(self, visitor: int) -> Shown | None:
        """Return what a visitor was shown, `None` where nothing is known."""
        visitors, _, *columns = self._table
        row = _find(visitors, visitor) if visitor else -1
        return None if row < 0 else Shown(*(column[row].copy() for column in columns))

    def forget(self, visitor: int) -> None:
        """Clear a visitor's row."""
        if visitor and (row := _find(self._table[0], visitor)) >= 0:
            for column in self._table:
                column[row] = 0

    def dump(self) -> Arrays:
        """Return the rows in use as arrays."""
        used = np.flatnonzero(self._table[0])
        return {name: column[used] for name, column in zip(_NAMES, self._table, strict=True)}

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Continue from what `dump` returned."""
        rows = tuple(arrays[name] for name in _NAMES)
        size = 1024
        while size < self.most and size < 2 * len(rows[0]):
            size *= 4
        self._table = _table(min(self.most, size), self.places)
        _copied(rows, self._table)
        self._rows = len(rows[0])

    def nbytes(self) -> int:
        """Return the bytes in use."""
        return sum(column.nbytes for column in self._table)


_NAMES = ("visitors", "touched", "keys", "first", "last", "count")
Table = Sequence[NDArray[Any]]


def _table(rows: int, places: int) -> tuple[NDArray[Any], ...]:
    wide = (rows, places)
    numbers = (np.zeros(wide, np.uint32) for _ in range(3))
    return np.zeros(rows, np.uint64), np.zeros(rows, np.uint32), np.zeros(wide, np.uint64), *numbers


def _copied(rows: Table, table: Table) -> None:
    """Write the rows in use into a table, the newest first: where there is no room, the oldest are left out."""
    visitors, touched = rows[0], rows[1]
    order = np.argsort(touched, kind="stable")[::-1]
    taken = table[0]
    for row in order[visitors[order] != 0].tolist():
        begin = int(visitors[row]) % (len(taken) // WAYS) * WAYS
        free = np.flatnonzero(taken[begin : begin + WAYS] == 0)
        if len(free):
            for column, own in zip(table, rows, strict=True):
                column[begin + free[0]] = own[row]
