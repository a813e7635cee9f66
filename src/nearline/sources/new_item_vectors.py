"""Vectors for items that came after training: from who touched them first, and from their attributes until somebody has.

An item's visitors say where it is: s is the mean of their tastes, each the mean of the vectors of what he touched last, but for
the item. How its vector follows is a ridge regression y = M (s, 1) over the known items, learned in training. Its attributes
say it by another, tokens to vectors, over the items of the catalogue. With v visitors the first counts v / (v + 2).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nearline.schema.candidates import F32, I32
from nearline.schema.components import Arrays, World
from nearline.schema.kernel import f4, i4, i8, kernel
from nearline.sources.neighbours import Histories
from nearline.sources.row_map import RowMap
from nearline.sources.visits import VisitTables

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
ENOUGH = 2.0
"""Visitors whose word counts as much as that of the attributes."""
LEAST = 3
"""Visitors, or items with a token, that are learned from."""
WORDS = 1_000
"""Tokens that are learned from, the commonest."""
RIDGE = 10.0
SHRUNK = 0.001
"""Of the mean square of a taste's part: some parts are much greater than others, and these say least."""
LENGTH = 0.9
"""Quantile of the lengths of all vectors that a new one is brought to: a length says how popular an item has become."""


@kernel(i4[:, ::1], i4[:, ::1], i4[::1], i8[::1], f4[:, ::1], f4[:, ::1])
def _tastes(items_of: I32, visitors_of: I32, row_of: I32, slots: I64, vectors: F32, out: F32) -> None:
    """Write the mean taste of the visitors of items, without what the items themselves say; 0 where nobody says anything.

    Args:
        items_of, visitors_of: rings of slots plus one, as in `VisitTables`.
        row_of: row of each slot in `vectors`, -1 for none.
        slots: which items, `[m] int64`.
        out: `[m, d] float32`.
    """
    own = np.zeros(vectors.shape[1], np.float32)
    for i in range(len(slots)):
        out[i] = 0.0
        heard = 0
        for user in visitors_of[slots[i]]:
            said = 0
            own[:] = 0.0
            if 0 < user <= len(items_of):
                for item in items_of[user - 1]:
                    if 0 < item <= len(row_of) and item != slots[i] + 1 and row_of[item - 1] >= 0:
                        own += vectors[row_of[item - 1]]
                        said += 1
            if said > 0:
                heard += 1
                out[i] += own / np.float32(said)
        if heard > 0:
            out[i] /= np.float32(heard)


def learned_lift(past: Histories, keys: U64, vectors: F32) -> F32:
    """Return the regression of items' vectors on the tastes of who touched them, `[d + 1, d] float32`.

    Args:
        past: who touched what.
        keys: of the vectors, in order, `[n] uint64`.
        vectors: `[n, d] float32`.
    """
    tables = VisitTables()
    lengths = np.diff(past.starts)
    user = np.repeat(np.arange(len(lengths)), lengths)
    width, kept = tables.items_of.shape[1], tables.visitors_of.shape[1]
    from_end = past.starts[1:][user] - 1 - np.arange(len(user))
    last = from_end < width
    items_of = np.zeros((len(lengths), width), np.int32)
    items_of[user[last], from_end[last]] = past.items[last] + 1
    order = np.argsort(past.items, kind="stable")
    counts = np.bincount(past.items, minlength=len(past.keys))
    place = np.arange(len(order)) - (np.cumsum(counts) - counts)[past.items[order]]
    some = place < kept
    visitors_of = np.zeros((len(past.keys), kept), np.int32)
    visitors_of[past.items[order][some], place[some]] = user[order][some] + 1
    rows = np.searchsorted(keys, past.keys).clip(max=len(keys) - 1)
    row_of = np.where(keys[rows] == past.keys, rows, -1).astype(np.int32)
    taught = np.flatnonzero((counts >= LEAST) & (row_of >= 0))
    tastes = np.empty((len(taught), vectors.shape[1]), np.float32)
    _tastes(items_of, visitors_of, row_of, taught, vectors, tastes)
    inputs = np.column_stack((tastes, np.ones(len(taught), np.float32)))
    gram = inputs.T @ inputs
    gram[np.diag_indices(len(gram))] += SHRUNK * np.trace(gram) / len(gram) + 1e-6
    return np.linalg.solve(gram, inputs.T @ vectors[row_of[taught]]).astype(np.float32)


class _Placed(NamedTuple):
    """Slots of new items in order, their visits, their vectors, and each slot's row behind the release's (-1 for none)."""

    slots: I64
    visits: I64
    vectors: F32
    row_of: I32


class NewItemVectors:
    """What items come to that a release has no vectors of.

    Args:
        world: whose items and visits.
        tables: of the visits.
        rows: of the release's vectors.
        vectors: `[n, d] float32`.
        lift: what `learned_lift` returned.
        most: new items that get a vector, the most visited.
    """

    def __init__(self, world: World, tables: VisitTables, rows: RowMap, vectors: F32, lift: F32, most: int) -> None:
        self._most = most
        self._world, self._tables, self._rows, self._lift = world, tables, rows, lift
        self._vectors = np.require(vectors, np.float32, ["C", "W"])
        self._length = float(np.quantile(np.linalg.norm(vectors, axis=1), LENGTH)) if len(vectors) else 0.0
        self._words, self._said = self._read()
        none = np.empty(0, np.int64)
        self._placed = _Placed(none, none, np.empty((0, self._vectors.shape[1]), np.float32), np.empty(0, np.int32))

    def placed(self) -> tuple[I32, F32]:
        """Return the row of each slot, behind the release's, -1 for none (`[n_slots] int32`), and the vectors of new items."""
        placed = self._placed
        return placed.row_of, placed.vectors

    def changed(self) -> tuple[U64, F32] | None:
        """Return keys and vectors of new items of which anything new is known; `None` where there are none."""
        row_of, _ = self._rows.current()
        columns, visited = self._world.columns, self._tables.visited
        fresh = columns.available.copy()
        known = row_of[: len(fresh)] >= 0
        fresh[: len(known)] &= ~known
        new = np.flatnonzero(fresh)
        visits = visited.take(new, mode="clip") * (new < len(visited)) if len(visited) else np.zeros(len(new), np.int64)
        if len(new) > self._most:
            busiest = np.sort(np.argsort(-visits, kind="stable")[: self._most])
            new, visits = new[busiest], visits[busiest]
        old, place = self._placed, np.searchsorted(self._placed.slots, new)
        there = old.slots.take(place, mode="clip") == new if len(old.slots) else np.zeros(len(new), np.bool_)
        moved = ~there
        moved[there] = old.visits[place[there]] != visits[there]
        if not moved.any() and len(new) == len(old.slots):
            return None
        vectors = np.empty((len(new), self._vectors.shape[1]), np.float32)
        vectors[there] = old.vectors[place[there]]
        vectors[moved] = self._made(new[moved], visits[moved], row_of)
        lasting = vectors.any(axis=1)
        rows = np.full(len(columns.key), -1, np.int32)
        rows[new[lasting]] = len(self._vectors) + np.flatnonzero(lasting)
        # One assignment: a request sees the old ones or the new ones, whole.
        self._placed = _Placed(new, visits, vectors, rows)
        moved &= lasting
        return columns.key[new[moved]], vectors[moved]

    def _made(self, new: I64, visits: I64, row_of: I32) -> F32:
        """Return the vectors of new items, `[n, d] float32`; 0 where nothing is known."""
        vectors = self._by_attributes(new)
        met = visits > 0
        tastes = np.zeros((int(met.sum()), self._vectors.shape[1]), np.float32)
        if len(tastes):
            _tastes(self._tables.items_of, self._tables.visitors_of, row_of, new[met], self._vectors, tastes)
            heard = tastes.any(axis=1)
            place, count = np.flatnonzero(met)[heard], np.minimum(visits[met][heard], self._tables.visitors_of.shape[1])
            share = (count / (count + ENOUGH))[:, None].astype(np.float32)
            followed = tastes[heard] @ self._lift[:-1] + self._lift[-1]
            vectors[place] = share * followed + (1 - share) * vectors[place]
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors * (self._length / np.maximum(lengths, 1e-9)), np.float32)

    def _read(self) -> tuple[NDArray[np.uint32], F32]:
        """Learn what each of the commonest tokens says of a vector: `[w] uint32`, `[w + 1, d] float32`."""
        row_of, _ = self._rows.current()
        names, offsets = self._world.item_tokens()
        slots = np.flatnonzero(row_of[: len(offsets) - 1] >= 0)
        words, counts = np.unique(names, return_counts=True)
        words = np.sort(words[np.argsort(-counts, kind="stable")][:WORDS][np.sort(-counts)[:WORDS] <= -LEAST])
        if not len(slots) or not len(words):
            return words[:0], np.zeros((1, self._vectors.shape[1]), np.float32)
        inputs = self._tokens(slots, words)
        gram = (inputs.T @ inputs).toarray()
        gram[np.diag_indices(len(gram) - 1)] += RIDGE
        return words, np.linalg.solve(gram, inputs.T @ self._vectors[row_of[slots]]).astype(np.float32)

    def _tokens(self, slots: I64, words: NDArray[np.uint32]) -> sparse.csr_matrix:
        """Return which words items have, and a one, `[n, w + 1] float32`."""
        names, offsets = self._world.item_tokens()
        lengths = np.diff(offsets)[slots]
        item = np.repeat(np.arange(len(slots)), lengths)
        held = (
            np.arange(int(lengths.sum()))
            - np.repeat(np.cumsum(lengths) - lengths, lengths)
            + np.repeat(offsets[slots], lengths)
        )
        place = np.searchsorted(words, names[held]).clip(max=len(words) - 1)
        fine = words[place] == names[held]
        rows, columns = np.append(item[fine], np.arange(len(slots))), np.append(place[fine], np.full(len(slots), len(words)))
        shape = (len(slots), len(words) + 1)
        return sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)

    def _by_attributes(self, slots: I64) -> F32:
        """Return what their attributes say of items, `[n, d] float32`; 0 for those that have none of the words."""
        if not len(self._words) or not len(slots):
            return np.zeros((len(slots), self._vectors.shape[1]), np.float32)
        offsets = self._world.item_tokens()[1]
        there = slots < len(offsets) - 1
        out = np.zeros((len(slots), self._vectors.shape[1]), np.float32)
        inputs = self._tokens(slots[there], self._words)
        spoken = np.asarray(inputs.sum(axis=1)).ravel() > 1
        out[there] = np.where(spoken[:, None], inputs @ self._said, np.float32(0.0))
        return out


def new_items(world: World, rows: RowMap, arrays: Arrays, most: int) -> NewItemVectors:
    """Return the vectors of a world's new items, beside a release's arrays (`vectors`, `lift`) and their rows."""
    tables = world.parts[VisitTables.name]
    assert isinstance(tables, VisitTables)
    return NewItemVectors(world, tables, rows, arrays["vectors"], arrays["lift"], most)
