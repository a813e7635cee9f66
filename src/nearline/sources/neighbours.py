"""Neighbours learned in batch: a table of items with the items each speaks for, asked with the recent history."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nearline.features.history import HistoryFold
from nearline.schema.candidates import F32, I32, NOTHING, Retrieved
from nearline.schema.components import Arrays, FitData, Fold, Stateful, UserState, World
from nearline.schema.event import Events, Role
from nearline.schema.kernel import f4, i4, kernel
from nearline.schema.query import Query
from nearline.schema.top import head
from nearline.sources.asked import asked_items
from nearline.sources.row_map import RowMap, row_at
from nearline.sources.tally import ROWS, first, keys_of, room_for, scratch, take, tally

MOST_ASKED = 255


class Histories(NamedTuple):
    """Everyone's events, visitor by visitor, each in order of time.

    Attributes:
        keys: of the items that occur, `[n_items] uint64`.
        starts: where each visitor's events begin, and the end, `[n_users + 1] int64`.
        items: places in `keys`, `[n] int32`; no two equal ones in a row within a visitor.
        values: signed roots of the events' weights, over the mean weight, `[n] float32`.
    """

    keys: NDArray[np.uint64]
    starts: NDArray[np.int64]
    items: I32
    values: F32


def histories(data: FitData) -> Histories:
    """Return what each visitor touched, in order; touches of one item in a row are one, with their weights' sum.

    The product of two values is a weight: what is counted by pairs is linear in what the application says.
    """
    events: Events = data.events
    fine = (events["item"] != 0) & (events["weight"] != 0) & (events["role"] >= Role.VIEW) & (events["role"] <= Role.NEGATIVE)
    fine &= np.isin(events["item"], data.items)
    events = events[fine]
    keys, places = np.unique(events["item"], return_inverse=True)
    items: I32 = places.astype(np.int32)
    users, user = np.unique(events["user"], return_inverse=True)
    order = np.argsort(user, kind="stable")
    user, items, weights = user[order], items[order], events["weight"][order].astype(np.float64)
    if not len(items):
        return Histories(keys, np.zeros(1, np.int64), items, np.empty(0, np.float32))
    changes = np.concatenate(([True], (user[1:] != user[:-1]) | (items[1:] != items[:-1])))
    begin = np.flatnonzero(changes)
    user, items, weights = user[begin], items[begin], np.add.reduceat(weights, begin)
    values = np.sign(weights) * np.sqrt(np.abs(weights) / max(1.0, float(np.abs(weights).mean())))
    starts = np.concatenate(([0], np.cumsum(np.bincount(user, minlength=len(users))))).astype(np.int64)
    return Histories(keys, starts, items, values.astype(np.float32))


def sampled(past: Histories, far: int, most: int, seed: int) -> Histories:
    """Return histories of at most `most` pairs of events up to `far` steps apart: all, or those of visitors drawn by `seed`."""
    lengths = np.diff(past.starts)
    pairs = np.minimum(lengths, far) * lengths
    if pairs.sum() <= most:
        return past
    order = np.random.default_rng(seed).permutation(len(lengths))
    kept = np.sort(order[np.cumsum(pairs[order]) <= most])
    chosen = np.zeros(len(lengths), np.bool_)
    chosen[kept] = True
    events = np.repeat(chosen, lengths)
    starts = np.concatenate(([0], np.cumsum(lengths[kept]))).astype(np.int64)
    return Histories(past.keys, starts, past.items[events], past.values[events])


def table_of(similar: sparse.csr_matrix, most: int) -> tuple[I32, NDArray[np.float16]]:
    """Return a sparse matrix's rows without their diagonal as a table; what is missing is the item itself, with weight 0."""
    n = similar.shape[0]
    rows = np.repeat(np.arange(n, dtype=np.int32), np.diff(similar.indptr))
    columns, entries = similar.indices, similar.data.astype(np.float32)
    order = np.lexsort((columns, -entries, rows))
    order = order[columns[order] != rows[order]]
    rows, columns, entries = rows[order], columns[order], entries[order]
    counts = np.bincount(rows, minlength=n)
    place = np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows]
    kept = place < most
    rows, place = rows[kept], place[kept]
    neighbours = np.repeat(np.arange(n, dtype=np.int32)[:, None], most, axis=1)
    weights = np.zeros((n, most), np.float16)
    # One scale for all, so that counts fit half a float; the order is what matters.
    largest = max(float(entries.max(initial=0.0)), 1e-12)
    neighbours[rows, place], weights[rows, place] = columns[kept], entries[kept] / largest
    return neighbours, weights


@kernel(i4[::1], f4[::1], i4[::1], i4[:, ::1], f4[:, ::1], i4[::1], i4[::1], i4[::1], f4[::1], i4[::1])
def _ask(
    recent: I32,
    decay: F32,
    row_of: I32,
    neighbours: I32,
    weights: F32,
    slots: I32,
    memory: I32,
    items: I32,
    scores: F32,
    because: I32,
) -> int:
    """Sum what the recent items say of each item, write the best, best first; return how many."""
    n, room = len(slots), len(memory) // ROWS
    total = memory[9 * room : 9 * room + n].view(np.float32)
    total[:] = 0.0
    most, reason = np.zeros(n, np.float32), np.zeros(n, np.uint8)
    for j in range(len(recent)):
        row = row_at(row_of, recent[j])
        if row < 0:
            continue
        for place in range(neighbours.shape[1]):
            other, part = neighbours[row, place], decay[j] * weights[row, place]
            total[other] += part
            if part > most[other]:
                most[other], reason[other] = part, j
    for row in range(n):
        if slots[row] < 0:
            total[row] = 0.0
    keys, spare = keys_of(memory)
    found, count = head(total, len(items), keys, spare)
    for j in range(count):
        row = found[j] & np.uint64(0xFFFFFFFF)
        items[j], scores[j], because[j] = slots[row], total[row], recent[reason[row]]
    return int(count)


@kernel(i4[::1], f4[::1], i4[::1], i4[:, ::1], f4[:, ::1], i4[::1], i4[::1], i4[::1], f4[::1], i4[::1])
def _ask_for(
    recent: I32,
    decay: F32,
    row_of: I32,
    neighbours: I32,
    weights: F32,
    slots: I32,
    memory: I32,
    items: I32,
    scores: F32,
    because: I32,
) -> int:
    """Do as `_ask` where nothing speaks against an item: it costs what the neighbours are, however large the catalogue is."""
    n, width = 0, neighbours.shape[1]
    others, parts = np.empty(width, np.int32), np.empty(width, np.float32)
    for j in range(len(recent)):
        row = row_at(row_of, recent[j])
        if row < 0:
            continue
        count = 0
        for place in range(width):
            slot, part = slots[neighbours[row, place]], decay[j] * weights[row, place]
            if slot >= 0 and part > 0:
                others[count], parts[count] = slot, part
                count += 1
        n = tally(memory, n, others, parts, count, j)
    return take(memory, n, recent, items, scores, because)


@kernel(i4[::1], f4[:, ::1], i4[::1], i4[:, ::1], f4[:, ::1], i4[::1], i4[::1], f4[:, ::1])
def told(recent: I32, decays: F32, row_of: I32, neighbours: I32, weights: F32, items: I32, memory: I32, out: F32) -> None:
    """Sum what the recent items say of given items, once for each way to weigh them.

    Args:
        recent: slots, newest first, `[m] int32`.
        decays: weight of each, by way, `[n_ways, at least m] float32`.
        row_of: row of each slot, -1 for none.
        neighbours, weights: the table.
        items: different slots, `[n] int32`.
        memory: the scratch.
        out: `[n_ways, n] float32`, filled.
    """
    where = memory[: len(memory) // ROWS]
    for i in range(len(items)):
        if items[i] < len(row_of) and row_of[items[i]] >= 0:
            where[row_of[items[i]]] = i + 1
    out[:] = 0.0
    for j in range(len(recent)):
        row = row_at(row_of, recent[j])
        if row < 0:
            continue
        for place in range(neighbours.shape[1]):
            i = where[neighbours[row, place]] - 1
            if i >= 0:
                for way in range(len(decays)):
                    out[way, i] += decays[way, j] * weights[row, place]
    for i in range(len(items)):
        if items[i] < len(row_of) and row_of[items[i]] >= 0:
            where[row_of[items[i]]] = 0


class NeighbourSource(ABC):
    """A source whose release is a table of neighbours; what differs is how `learn` comes to it.

    Args:
        quota: candidates at most.
        ask: how many of the last items to ask with, at most 255.
        decay: weight of each further one.
    """

    name: str
    family = "collaborative"
    reason: ClassVar[str] = "because_you_viewed"
    template: ClassVar[str] = "Because you viewed {title}"
    time_based = False
    _mapped: RowMap | None = None

    def __init__(self, quota: int, ask: int, decay: float) -> None:
        self.quota, self.ask = quota, min(ask, MOST_ASKED)
        self.state: tuple[Stateful, ...] = ()
        self.folds: tuple[Fold, ...] = (HistoryFold(),)
        self._decay = (decay ** np.arange(self.ask)).astype(np.float32)

    def why_not(self, n: int) -> str:
        """Return why a catalogue of so many touched items is not learned from, "" where it is."""
        return ""

    @abstractmethod
    def learn(self, past: Histories, seed: int) -> tuple[I32, NDArray[np.float16]] | None:
        """Return each item's neighbours, places `[n, k] int32`, and what it says of them, `[n, k] float16`; or nothing."""

    def fit(self, data: FitData) -> Arrays:
        """Return `keys [n] uint64`, `neighbours [n, k] int32` and `weights [n, k] float16`; `{}` for too little."""
        past = histories(data)
        if len(past.keys) < 2 or len(past.starts) < 2:
            return {}
        if reason := self.why_not(len(past.keys)):
            data.say(f"{self.name} left out: {reason}")
            return {}
        found = self.learn(past, data.seed)
        return {} if found is None else {"keys": past.keys, "neighbours": found[0], "weights": found[1]}

    def bind(self, world: World, arrays: Arrays) -> None:
        """Take the table, and the rows of this process's items."""
        self._world, self._mapped = world, None
        if arrays:
            self._mapped = RowMap(world, arrays["keys"])
            self._neighbours = np.ascontiguousarray(arrays["neighbours"], np.int32)
            self._weights = np.ascontiguousarray(arrays["weights"], np.float32)
            self._kernel = _ask if (self._weights < 0).any() else _ask_for

    def fetch(self, query: Query, user: UserState, limit: int) -> Retrieved:
        """Return the items that the last ones, and the page's, speak for."""
        if self._mapped is None:
            return NOTHING
        row_of, slots = self._mapped.current()
        recent = asked_items(query, user, self._world, self.ask)
        if len(recent) == 0:
            return NOTHING
        found = room_for(limit, len(slots))
        count = self._kernel(
            recent,
            self._decay,
            row_of,
            self._neighbours,
            self._weights,
            slots,
            scratch(max(len(row_of), len(slots))),
            found.items,
            found.scores,
            found.because,
        )
        return first(found, count)
