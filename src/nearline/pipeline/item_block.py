"""The item block: what item features say, kept by item until its minute is over or the item changes."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32
from nearline.schema.clock import MINUTE
from nearline.schema.components import World
from nearline.schema.kernel import b1, f4, i4, i8, inline, kernel, u4

Marks = NDArray[np.uint32]
Stamps = NDArray[np.int64]
NEVER = -1


@inline
def _stamp(minute: Any, mark: Any) -> Any:
    return (np.int64(minute) << np.int64(32)) | np.int64(mark)


@kernel(i4[::1], u4[::1], i8, i8[::1], f4[:, ::1], f4[:, ::1], i4[::1])
def _gather(items: I32, marks: Marks, minute: int, stamps: Stamps, rows: F32, out: F32, stale: I32) -> int:
    """Copy the rows into columns; write the places of those that are stale, and return how many."""
    # Unsigned, since a signed index costs a look whether it counts from the end.
    n, width, found = np.uint64(len(items)), np.uint64(rows.shape[1]), 0
    for i in range(n):
        slot = np.uint64(items[i])
        if stamps[slot] != _stamp(minute, marks[slot]):
            stale[found] = i
            found += 1
    begin = np.uint64(0)
    while begin < n:
        # Some rows at a time, column by column: their first touch waits for memory together, and columns are written in runs.
        end = min(n, begin + np.uint64(64))
        for c in range(width):
            for i in range(begin, end):
                out[c, i] = rows[np.uint64(items[i]), c]
        begin = end
    return found


@kernel(i4[::1], u4[::1], i8, i8[::1])
def _note(slots: I32, marks: Marks, minute: int, out: Stamps) -> None:
    for j in range(len(slots)):
        out[j] = _stamp(minute, marks[slots[j]])


@kernel(i4[::1], i4[::1], i8[::1], f4[:, ::1], b1, i8[::1], f4[:, ::1], f4[:, ::1])
def _publish(
    slots: I32,
    places: I32,
    noted: Stamps,
    columns: F32,
    keep: bool,
    stamps: Stamps,
    rows: F32,
    out: F32,
) -> None:
    for c in range(len(columns)):
        for j in range(len(slots)):
            out[c, places[j]] = columns[c, j]
    if keep:
        for j in range(len(slots)):
            for c in range(len(columns)):
                rows[slots[j], c] = columns[c, j]
            stamps[slots[j]] = noted[j]


@dataclass(frozen=True, slots=True)
class Refresh:
    """Items of one request that are read anew; private to it until it is published.

    Attributes:
        slots: which items, `[m] int32`.
        places: where among the candidates, `[m] int32`.
        now: the full minute, ms UTC.
        noted: minute and mark of each item before anything of it was read, `[m] int64`.
        columns: for the item features to fill, `[n_columns, m] float32`.
    """

    slots: I32
    places: I32
    now: int
    noted: Stamps
    columns: F32


class ItemBlock:
    """One row of float32 by item (4 bytes a column and 8 for its stamp), for one set of item features.

    A row is fresh while its stamp, the minute and the item's mark, is the present one. The mark is noted before the row is
    read and moves after the item has changed, so a row that was read halfway through a change is never taken for fresh.

    Args:
        world: whose items.
        width: columns of all item features.
    """

    def __init__(self, world: World, width: int) -> None:
        self.world, self.width = world, width
        # A thread that was given up may come back late and publish beside its successor.
        self._lock = threading.Lock()
        self._stamps: Stamps = np.empty(0, np.int64)
        self._rows: F32 = np.empty((0, width), np.float32)

    def gather(self, items: I32, now: int, out: F32) -> Refresh | None:
        """Fill `out`, `[width, n] float32`, at a full minute; return what of it is stale and must be read anew, if any."""
        marks, minute = self.world.item_marks, now // MINUTE
        stale = np.empty(len(items), np.int32)
        with self._lock:
            if len(marks) > len(self._stamps):
                self._make_room(len(marks))
            found = _gather(items, marks, minute, self._stamps, self._rows, out, stale)
        if not found:
            return None
        places = stale[:found]
        slots, noted = items[places], np.empty(found, np.int64)
        _note(slots, marks, minute, noted)
        return Refresh(slots, places, now, noted, np.empty((self.width, found), np.float32))

    def publish(self, fresh: Refresh, out: F32, keep: bool) -> None:
        """Put rows read anew into `out`, and keep them for others where all item features have spoken."""
        with self._lock:
            _publish(fresh.slots, fresh.places, fresh.noted, fresh.columns, keep, self._stamps, self._rows, out)

    def _make_room(self, need: int) -> None:
        stamps, rows = np.full(need, NEVER, np.int64), np.zeros((need, self.width), np.float32)
        stamps[: len(self._stamps)], rows[: len(self._rows)] = self._stamps, self._rows
        self._stamps, self._rows = stamps, rows
