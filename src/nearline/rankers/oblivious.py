"""Oblivious (symmetric) decision trees: the model as plain arrays, and its compiled prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from nearline.schema.errors import NearlineError
from nearline.schema.kernel import f4, i4, i8, inline, kernel

BLOCK = 512
"""Candidates scored together: their leaf numbers and sums stay in the first-level cache."""
_TREES, _LEVELS = 4, 6

# Read-only arguments also take writable arrays; a writable signature would refuse memory-mapped models.
_FLOATS = types.Array(f4, 2, "C", readonly=True)
_INTS = types.Array(i4, 2, "C", readonly=True)
_TABLES = types.Array(i8, 3, "C", readonly=True)
_PLACES = types.Array(i4, 1, "C", readonly=True)


@inline
def _leaf_numbers(columns: Any, features: Any, thresholds: Any, tree: Any, start: Any, leaf: Any) -> None:
    """Write the leaf each candidate of a block falls in; the first level is the highest bit.

    The last six levels share a pass: as many as LLVM still vectorises with its run-time alias checks.
    """
    size, depth = leaf.size, features.shape[1]
    at, by = features[tree], thresholds[tree]
    a = columns[at[depth - 6], start : start + size]
    b = columns[at[depth - 5], start : start + size]
    c = columns[at[depth - 4], start : start + size]
    d = columns[at[depth - 3], start : start + size]
    e = columns[at[depth - 2], start : start + size]
    f = columns[at[depth - 1], start : start + size]
    ta, tb, tc, td, te, tf = by[depth - 6], by[depth - 5], by[depth - 4], by[depth - 3], by[depth - 2], by[depth - 1]
    for i in range(size):
        number = np.uint32(a[i] > ta)
        number = number + number + np.uint32(b[i] > tb)
        number = number + number + np.uint32(c[i] > tc)
        number = number + number + np.uint32(d[i] > td)
        number = number + number + np.uint32(e[i] > te)
        leaf[i] = number + number + np.uint32(f[i] > tf)
    for level in range(depth - _LEVELS):
        a, ta, bit = columns[at[level], start : start + size], by[level], np.uint32(depth - 1 - level)
        for i in range(size):
            leaf[i] |= np.uint32(a[i] > ta) << bit


@kernel(_FLOATS, f4[:, ::1], _INTS, _FLOATS, _TABLES, _FLOATS, _PLACES)
def _score(
    columns: NDArray[np.float32],
    out: NDArray[np.float32],
    features: NDArray[np.int32],
    thresholds: NDArray[np.float32],
    tables: NDArray[np.int64],
    calibration: NDArray[np.float32],
    places: NDArray[np.int32],
) -> None:
    """Write the probability of each learned outcome to its row of `out`.

    Two outcomes share an integer, in fixed point: one load and one addition serve both, and sums of integers
    don't depend on their order. The comparisons are vectorised over candidates; four trees share a pass over the sums.

    Args:
        columns: `[n_features, n_candidates] float32`; NaN is never greater than a threshold.
        out: `[n_outcomes, n_candidates] float32`.
        features: `[n_trees, depth] int32`, rows of `columns`; whole passes of four trees, six levels at least.
        thresholds: `[n_trees, depth] float32`.
        tables: `[n_pairs, n_trees, n_leaves] int64`: the first outcome of a pair in the upper, the second in the lower half.
        calibration: `[n_learned, 2] float32`, slope in units of the fixed point, and intercept.
        places: `[n_learned] int32`, rows of `out`.
    """
    n_candidates, n_pairs = columns.shape[1], tables.shape[0]
    leaves = np.empty((_TREES, BLOCK), np.uint32)
    totals = np.empty((n_pairs, BLOCK), np.int64)
    one = np.float32(1.0)
    for start in range(0, n_candidates, BLOCK):
        size = min(BLOCK, n_candidates - start)
        p, q, r, s = leaves[0, :size], leaves[1, :size], leaves[2, :size], leaves[3, :size]
        totals[:] = 0
        for tree in range(0, features.shape[0], _TREES):
            _leaf_numbers(columns, features, thresholds, tree, start, p)
            _leaf_numbers(columns, features, thresholds, tree + 1, start, q)
            _leaf_numbers(columns, features, thresholds, tree + 2, start, r)
            _leaf_numbers(columns, features, thresholds, tree + 3, start, s)
            for pair in range(n_pairs):
                a, b, c, d = tables[pair, tree], tables[pair, tree + 1], tables[pair, tree + 2], tables[pair, tree + 3]
                total = totals[pair, :size]
                for i in range(size):
                    total[i] += (a[p[i]] + b[q[i]]) + (c[r[i]] + d[s[i]])
        for learned in range(places.size):
            total, row = totals[learned // 2, :size], out[places[learned], start : start + size]
            slope, intercept = calibration[learned]
            for i in range(size):
                lower = np.int32(total[i])
                margin = np.float32(lower if learned % 2 else (total[i] - lower) >> 32)
                row[i] = one / (one + np.exp(-(slope * margin + intercept)))


@dataclass(frozen=True, slots=True, eq=False)
class ObliviousTrees:
    """A boosted ensemble in which all nodes of one level share one (feature, threshold), and all outcomes the trees.

    Such a tree is a table of `2**depth` values for each outcome, addressed by `depth` comparisons, without branches
    (Prokhorenkova et al., "CatBoost: unbiased boosting with categorical features", NeurIPS 2018).

    Args:
        features: `[n_trees, depth] int32`, which feature each level compares.
        thresholds: `[n_trees, depth] float32`; a level's bit is `value > threshold`, so NaN gives 0. A level
            that isn't used has an infinite threshold.
        leaves: `[n_learned, n_trees, 2**depth] float32`, log-odds; the first level is the highest bit of the leaf
            number.
        calibration: `[n_learned, 2] float32`, slope and intercept of `sigmoid(slope * sum of leaves + intercept)`
            (Platt 1999).
        places: `[n_learned] int32`, which outcomes these are.
        outcomes: how many outcomes there are; those not learned have the probability 0.
    """

    features: NDArray[np.int32]
    thresholds: NDArray[np.float32]
    leaves: NDArray[np.float32]
    calibration: NDArray[np.float32]
    places: NDArray[np.int32]
    outcomes: int
    n_features: int = field(init=False)
    _compiled: tuple[NDArray[Any], ...] = field(init=False)

    def __post_init__(self) -> None:
        n_trees, depth = self.features.shape
        n_learned = len(self.places)
        wanted = ((n_trees, depth), (n_learned, n_trees, 2**depth), (n_learned, 2))
        found = self.thresholds.shape, self.leaves.shape, self.calibration.shape
        if found != wanted:
            raise NearlineError("trees", found, f"give thresholds, leaves and calibration of {wanted}")
        if self.features.size and self.features.min() < 0:
            raise NearlineError("trees.features", int(self.features.min()), "give feature rows from 0")
        if n_learned and not 0 <= self.places.min() <= self.places.max() < self.outcomes:
            raise NearlineError("trees.places", self.places.tolist(), f"name outcomes from 0 to {self.outcomes - 1}")
        object.__setattr__(self, "n_features", int(self.features.max(initial=-1)) + 1)
        object.__setattr__(self, "_compiled", self._compile())

    def _compile(self) -> tuple[NDArray[Any], ...]:
        """Return what the kernel reads: whole passes of trees and levels, leaves in fixed point, outcomes in pairs."""
        n_trees, depth = self.features.shape
        more = ((0, -n_trees % _TREES), (max(0, _LEVELS - depth), 0))
        features = np.pad(self.features, more)
        thresholds = np.pad(self.thresholds, more, constant_values=np.inf)
        leaves = np.pad(self.leaves.astype(np.float64), ((0, len(self.places) % 2), more[0], (0, 0)))
        # A power of two that keeps the largest sum within 31 bits.
        largest = np.abs(leaves).max(2, initial=0.0).sum(1)
        unit = np.exp2(np.ceil(np.log2(np.maximum(largest, 1e-30))) - 30)
        whole = np.rint(leaves / unit[:, None, None]).astype(np.int64)
        calibration = self.calibration * np.stack([unit, np.ones_like(unit)], 1)[: len(self.places)]
        return features, thresholds, (whole[::2] << 32) + whole[1::2], calibration.astype(np.float32), self.places

    def predict(self, columns: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probability of each outcome for each candidate.

        Args:
            columns: `[n_features, n_candidates] float32`, C-contiguous (else it is copied); NaN is missing.

        Returns:
            `[n_outcomes, n_candidates] float32`.

        Raises:
            NearlineError: if the model knows more features than `columns` has.
        """
        if columns.ndim != 2 or columns.shape[0] < self.n_features:
            remedy = f"give [n_features, n_candidates] with at least {self.n_features} features"
            raise NearlineError("columns", columns.shape, remedy)
        out = np.zeros((self.outcomes, columns.shape[1]), np.float32)
        _score(np.ascontiguousarray(columns, np.float32), out, *self._compiled)
        return out

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the model as named arrays, for a file; `from_arrays` reads them back."""
        named = {name: getattr(self, name) for name in ("features", "thresholds", "leaves", "calibration", "places")}
        return {**named, "outcomes": np.array([self.outcomes])}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> ObliviousTrees:
        """Rebuild the model from what `arrays` returned.

        Raises:
            NearlineError: if an array is absent or the shapes don't fit together.
        """
        names = ("features", "thresholds", "leaves", "calibration", "places", "outcomes")
        if absent := [name for name in names if name not in arrays]:
            raise NearlineError("arrays", sorted(arrays), f"train again: {', '.join(absent)} absent, as in other versions")
        return cls(
            np.ascontiguousarray(arrays["features"], np.int32),
            np.ascontiguousarray(arrays["thresholds"], np.float32),
            np.ascontiguousarray(arrays["leaves"], np.float32),
            np.ascontiguousarray(arrays["calibration"], np.float32),
            np.ascontiguousarray(arrays["places"], np.int32),
            int(arrays["outcomes"][0]),
        )
