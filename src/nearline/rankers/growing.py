"""Growing of one oblivious tree: quantised features, and the search for the borders that lower the loss most."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32
from nearline.schema.kernel import f4, f8, i8, kernel, u1, u2

Floats = NDArray[np.float64]
Leaves = NDArray[np.uint16]
_Places = NDArray[np.int64]
_Level = tuple[NDArray[np.uint8], _Places, Leaves, NDArray[np.int64], _Places, int, int, float, float, float]
_FEATURES_A_TASK = 4
_NEVER = np.uint8(255)
_ROWS = 64


class Tree(NamedTuple):
    """What each level of a tree compares.

    Attributes:
        features: `[depth] int32`.
        thresholds: `[depth] float32`, infinite where the level isn't used.
        borders: the same as numbers of borders, `[depth] uint8`.
    """

    features: NDArray[np.int32]
    thresholds: NDArray[np.float32]
    borders: NDArray[np.uint8]

    def leaf(self, binned: NDArray[np.uint8]) -> Leaves:
        """Return the leaf of each quantised row, `[n_rows] uint16`; the first level is the highest bit."""
        leaf = np.zeros(binned.shape[1], np.uint16)
        for feature, border in zip(self.features, self.borders, strict=True):
            leaf = leaf * np.uint16(2) + (binned[feature] > border)
        return leaf


def borders(column: NDArray[np.float32], bins: int) -> NDArray[np.float32]:
    """Choose thresholds that cut a feature into at most `bins` bins of about equal mass.

    A value that alone outweighs a bin counts as one bin, so that a spike at zero doesn't use up the borders.
    If some values are missing, the first border lies below all others and tells missing ones from the lowest.

    Args:
        column: `[n_rows] float32`; NaN and infinities are ignored.
        bins: from 2 to 256.

    Returns:
        `[at most bins - 1] float32`, increasing.
    """
    finite = column[np.isfinite(column)]
    values, counts = np.unique(finite, return_counts=True)
    if not len(values):
        return np.empty(0, np.float32)
    missing = np.isnan(column).any()
    below = [np.nextafter(values[:1], np.float32(-np.inf))] if missing and bins > 2 else []
    room = bins - 1 - len(below)
    mass = np.cumsum(np.minimum(counts, len(finite) / bins))
    wanted = np.arange(1, room + 1) / (room + 1) * mass[-1]
    last = np.arange(len(values)) if len(values) <= room + 1 else np.unique(np.searchsorted(mass, wanted))
    last = last[last < len(values) - 1]
    middles = values[last] / 2 + values[last + 1] / 2
    return np.unique(np.concatenate([*below, middles])).astype(np.float32)


@kernel(f4[:, ::1], f4[:, ::1], i8, i8, u1[:, ::1])
def _quantise(x: F32, cuts: F32, first: int, end: int, binned: NDArray[np.uint8]) -> None:
    """Write how many borders are below, for features `first` to `end`; `cuts` is filled up with infinity."""
    values, below = np.empty(_ROWS, np.float32), np.empty(_ROWS, np.int32)
    for begin in range(0, len(x), _ROWS):
        size = min(_ROWS, len(x) - begin)
        for feature in range(first, end):
            for i in range(size):
                values[i] = x[begin + i, feature]
            below[:] = 0
            # All borders for all of them, side by side in registers: faster than looking for each one's place.
            for place in range(cuts.shape[1]):
                cut = cuts[feature, place]
                for i in range(_ROWS):
                    below[i] += np.int32(cut < values[i])
            for i in range(size):
                binned[feature, begin + i] = below[i]


def quantise(x: F32, cuts: list[F32], pool: Executor) -> NDArray[np.uint8]:
    """Return `[n_features, n_rows] uint8`: how many borders are below each value (NaN: none)."""
    table = np.full((len(cuts), max(1, *map(len, cuts))), np.inf, np.float32)
    for own, cut in zip(table, cuts, strict=True):
        own[: len(cut)] = cut
    x, binned = np.ascontiguousarray(x, np.float32), np.empty(x.shape[::-1], np.uint8)

    def count(first: int) -> None:
        _quantise(x, table, first, min(first + _FEATURES_A_TASK, len(cuts)), binned)

    list(pool.map(count, range(0, len(cuts), _FEATURES_A_TASK)))
    return binned


@kernel(u1[:, ::1], i8[::1], u2[::1], i8[::1], i8[::1], i8, i8, f8, f8, f8, i8, i8, i8[:, ::1], f8[::1], i8[::1])
def _best_splits(
    binned: NDArray[np.uint8],
    rows: NDArray[np.int64],
    leaf: NDArray[np.uint16],
    packed: NDArray[np.int64],
    summed: NDArray[np.int64],
    n_leaves: int,
    bins: int,
    gradient_unit: float,
    hessian_unit: float,
    l2: float,
    first: int,
    end: int,
    sums: NDArray[np.int64],
    gains: Floats,
    cuts: NDArray[np.int64],
) -> None:
    """Find, for features `first` to `end`, the border that most lowers the loss of all leaves together.

    `packed` holds a row's gradient in the upper and its hessian in the lower 32 bits, in fixed point: one
    addition serves both, and sums of integers don't depend on their order. Two features share a pass over the
    rows. Of two leaves that were one, rows are summed for one; the other has what is left of `sums`.

    Args:
        rows: places of those that are summed; `leaf` and `packed` are theirs.
        summed: leaves that they are in, one of each two; all of them in the first level.
        sums: of the level before, by leaf and bin, `[n_features, room] int64`; of this one afterwards.
    """
    size = n_leaves * bins
    both = np.empty((2, size), np.int64)
    gain = np.empty(bins, np.float64)
    one, two = both[0], both[1]
    for feature in range(first, end, 2):
        both[:] = 0
        a, b = binned[feature], binned[min(feature + 1, end - 1)]
        for i in range(rows.size):
            cell = leaf[i] * np.uint32(bins)
            one[cell + a[rows[i]]] += packed[i]
            two[cell + b[rows[i]]] += packed[i]
        for side in range(min(2, end - feature)):
            own, before = both[side], sums[feature + side]
            if n_leaves > 1:
                for pair in range(len(summed)):
                    there = summed[pair] * bins
                    other = there - bins if summed[pair] % 2 else there + bins
                    for place in range(bins):
                        own[other + place] = before[pair * bins + place] - own[there + place]
            before[:size] = own
            gain[:] = 0.0
            for start in range(0, size, bins):
                cells = own[start : start + bins]
                total = cells.sum()
                g_all, h_all = (total >> 32) * gradient_unit, (total & 0xFFFFFFFF) * hessian_unit
                whole, low = g_all * g_all / (h_all + l2), 0
                for cut in range(bins - 1):
                    low += cells[cut]
                    g, h = (low >> 32) * gradient_unit, (low & 0xFFFFFFFF) * hessian_unit
                    rest = g_all - g
                    gain[cut] += g * g / (h + l2) + rest * rest / (h_all - h + l2) - whole
            cuts[feature + side] = gain.argmax()
            gains[feature + side] = gain[cuts[feature + side]]


def _pack(gradient: Floats, hessian: Floats) -> tuple[NDArray[np.int64], float, float]:
    """Return both in one integer a row, and the units; no sum of rows leaves its 32 bits."""
    gradient_unit = max(float(np.abs(gradient).sum()), 1e-30) / 2**30
    hessian_unit = max(float(hessian.sum()), 1e-30) / 2**30
    upper = np.rint(gradient / gradient_unit).astype(np.int64) << 32
    return upper + np.rint(hessian / hessian_unit).astype(np.int64), gradient_unit, hessian_unit


@dataclass(frozen=True, slots=True, eq=False)
class Grower:
    """Grows one tree after the other on the same quantised rows.

    Args:
        binned: `[n_features, n_rows] uint8`, see `quantise`.
        cuts: the borders of each feature.
        depth: levels of a tree.
        bins: values a feature is quantised to.
        l2: regularisation of leaf values.
        pool: searches features side by side.
    """

    binned: NDArray[np.uint8]
    cuts: list[NDArray[np.float32]]
    depth: int
    bins: int
    l2: float
    pool: Executor

    def grow(self, gradient: Floats, hessian: Floats, chosen: NDArray[np.intp] | None = None) -> Tree:
        """Return the tree whose levels, one by one, lower the loss most.

        Args:
            gradient, hessian: of all rows.
            chosen: places of the rows that decide; all when not given.
        """
        depth, n_features, binned = self.depth, len(self.cuts), self.binned
        rows = np.arange(binned.shape[1]) if chosen is None else chosen
        gradient, hessian = gradient[rows], hessian[rows]
        tree = Tree(np.zeros(depth, np.int32), np.full(depth, np.inf, np.float32), np.full(depth, _NEVER))
        leaf, own = np.zeros(len(rows), np.uint16), np.arange(len(rows))
        packed, gradient_unit, hessian_unit = _pack(gradient, hessian)
        units = (gradient_unit, hessian_unit, self.l2)
        summed, sums = np.zeros(1, np.int64), np.empty((n_features, self.bins << (depth - 1)), np.int64)
        gains, cuts = np.empty(n_features), np.empty(n_features, np.int64)
        for level in range(depth):
            level_of = (binned, rows[own], leaf[own], packed[own], summed, 1 << level, self.bins, *units)

            def search(first: int, level_of: _Level = level_of) -> None:
                _best_splits(*level_of, first, min(first + _FEATURES_A_TASK, n_features), sums, gains, cuts)

            list(self.pool.map(search, range(0, n_features, _FEATURES_A_TASK)))
            best = int(gains.argmax())
            if gains[best] <= 1e-9:
                break
            tree.features[level], tree.borders[level] = best, cuts[best]
            tree.thresholds[level] = self.cuts[best][cuts[best]]
            leaf = leaf * np.uint16(2) + (binned[best][rows] > cuts[best])
            # The smaller one of each two leaves that were one.
            sizes = np.bincount(leaf, minlength=2 << level).reshape(-1, 2)
            summed = 2 * np.arange(1 << level) + (sizes[:, 1] < sizes[:, 0])
            wanted = np.zeros(2 << level, np.bool_)
            wanted[summed] = True
            own = np.flatnonzero(wanted[leaf])
        return tree
