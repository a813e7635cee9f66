"""Oblivious (symmetric) decision trees: the model as plain arrays, and its compiled prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from nearline.schema.errors import NearlineError
from nearline.schema.kernel import f4, i4, inline, kernel

BLOCK = 512
"""Candidates scored together: their leaf numbers and sums stay in the first-level cache."""

# Read-only arguments also take writable arrays; a writable signature would refuse memory-mapped models.
_FLOATS = types.Array(f4, 2, "C", readonly=True)
_INTS = types.Array(i4, 2, "C", readonly=True)
_ONE, _TWO, _THREE = np.uint32(1), np.uint32(2), np.uint32(3)


@inline
def _leaf_numbers(columns: Any, features: Any, thresholds: Any, tree: Any, start: Any, code: Any) -> None:
    """Write the leaf each candidate of a block falls in; the first level is the highest bit.

    Three levels a pass: as many as LLVM still vectorises with its run-time alias checks.
    """
    depth, size = features.shape[1], code.size
    code[:] = 0
    for level in range(0, depth - 2, 3):
        a = columns[features[tree, level], start : start + size]
        b = columns[features[tree, level + 1], start : start + size]
        c = columns[features[tree, level + 2], start : start + size]
        ta, tb, tc = thresholds[tree, level], thresholds[tree, level + 1], thresholds[tree, level + 2]
        for i in range(size):
            bits = (np.uint32(a[i] > ta) << _TWO) | (np.uint32(b[i] > tb) << _ONE) | np.uint32(c[i] > tc)
            code[i] = (code[i] << _THREE) | bits
    for level in range(depth - depth % 3, depth):
        a = columns[features[tree, level], start : start + size]
        ta = thresholds[tree, level]
        for i in range(size):
            code[i] = (code[i] << _ONE) | np.uint32(a[i] > ta)


@kernel(_FLOATS, _INTS, _FLOATS, _FLOATS, f4[::1])
def add_trees(
    columns: NDArray[np.float32],
    features: NDArray[np.int32],
    thresholds: NDArray[np.float32],
    leaves: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Add the leaf values of every tree to `out`.

    The comparisons are vectorised over candidates; two trees share one pass over the sums. Whatever the
    number of candidates, each one's value is added in the same order, so its score doesn't depend on its
    neighbours.

    Args:
        columns: `[n_features, n_candidates] float32`; NaN is never greater than a threshold.
        features: `[n_trees, depth] int32`, rows of `columns`.
        thresholds: `[n_trees, depth] float32`.
        leaves: `[n_trees, 2**depth] float32`.
        out: `[n_candidates] float32`, changed in place.
    """
    n_candidates, n_trees = columns.shape[1], features.shape[0]
    buffer = np.empty((2, BLOCK), np.uint32)
    for start in range(0, n_candidates, BLOCK):
        size = min(BLOCK, n_candidates - start)
        total, first, second = out[start : start + size], buffer[0, :size], buffer[1, :size]
        for tree in range(0, n_trees - 1, 2):
            _leaf_numbers(columns, features, thresholds, tree, start, first)
            _leaf_numbers(columns, features, thresholds, tree + 1, start, second)
            even, odd = leaves[tree], leaves[tree + 1]
            for i in range(size):
                total[i] += even[first[i]] + odd[second[i]]
        if n_trees % 2:
            _leaf_numbers(columns, features, thresholds, n_trees - 1, start, first)
            even = leaves[n_trees - 1]
            for i in range(size):
                total[i] += even[first[i]]


@kernel(f4[::1], f4, f4)
def _squash(margins: NDArray[np.float32], scale: float, shift: float) -> None:
    """Turn margins into probabilities in place."""
    for i in range(margins.size):
        margins[i] = np.float32(1.0) / (np.float32(1.0) + np.exp(-(scale * margins[i] + shift)))


@dataclass(frozen=True, slots=True, eq=False)
class ObliviousTrees:
    """A boosted ensemble in which all nodes of one level share one (feature, threshold).

    Such a tree is a table of `2**depth` values addressed by `depth` comparisons, without branches
    (Prokhorenkova et al., "CatBoost: unbiased boosting with categorical features", NeurIPS 2018).

    Args:
        features: `[n_trees, depth] int32`, which feature each level compares.
        thresholds: `[n_trees, depth] float32`; a level's bit is `value > threshold`, so NaN gives 0. A level
            that isn't used has an infinite threshold.
        leaves: `[n_trees, 2**depth] float32`, log-odds; the first level is the highest bit of the leaf
            number.
        bias: what the sum of the leaves starts from.
        scale: slope of the calibration `sigmoid(scale * margin + shift)` (Platt 1999).
        shift: intercept of the calibration.
    """

    features: NDArray[np.int32]
    thresholds: NDArray[np.float32]
    leaves: NDArray[np.float32]
    bias: float = 0.0
    scale: float = 1.0
    shift: float = 0.0

    def __post_init__(self) -> None:
        n_trees, depth = self.features.shape
        if self.thresholds.shape != (n_trees, depth) or self.leaves.shape != (n_trees, 2**depth):
            found = (self.features.shape, self.thresholds.shape, self.leaves.shape)
            raise NearlineError("trees", found, "give [t, d] features and thresholds and [t, 2**d] leaves")
        if self.features.size and self.features.min() < 0:
            raise NearlineError("trees.features", int(self.features.min()), "give feature rows from 0")

    @property
    def n_features(self) -> int:
        """The fewest features `predict` can work with."""
        return int(self.features.max()) + 1 if self.features.size else 0

    def margins(self, columns: NDArray[np.float32], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Return uncalibrated scores, `[n_candidates] float32`; see `predict`."""
        if columns.ndim != 2 or columns.shape[0] < self.n_features:
            remedy = f"give [n_features, n_candidates] with at least {self.n_features} features"
            raise NearlineError("columns", columns.shape, remedy)
        margins = np.empty(columns.shape[1], np.float32) if out is None else out
        if margins.shape != columns.shape[1:]:
            raise NearlineError("out", margins.shape, f"give an array of shape {columns.shape[1:]}")
        margins.fill(self.bias)
        columns = np.ascontiguousarray(columns, np.float32)
        add_trees(columns, self.features, self.thresholds, self.leaves, margins)
        return margins

    def predict(self, columns: NDArray[np.float32], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Return the probability of a positive event for each candidate.

        Args:
            columns: `[n_features, n_candidates] float32`, C-contiguous (else it is copied); NaN is missing.
            out: `[n_candidates] float32` contiguous, to write into.

        Returns:
            `out` or a new `[n_candidates] float32`.

        Raises:
            NearlineError: if the model knows more features than `columns` has, or `out` has another shape.
        """
        probabilities = self.margins(columns, out)
        _squash(probabilities, self.scale, self.shift)
        return probabilities

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the model as named arrays, for a file; `from_arrays` reads them back."""
        scalars = np.array([self.bias, self.scale, self.shift], np.float32)
        return {
            "features": self.features,
            "thresholds": self.thresholds,
            "leaves": self.leaves,
            "calibration": scalars,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> ObliviousTrees:
        """Rebuild the model from what `arrays` returned (memory-mapped arrays are used without copies).

        Raises:
            NearlineError: if an array is absent or the shapes don't fit together.
        """
        wanted = [field.name for field in fields(cls)[:3]] + ["calibration"]
        if absent := [name for name in wanted if name not in arrays]:
            raise NearlineError("arrays", sorted(arrays), f"add {', '.join(absent)}; was the file cut short?")
        bias, scale, shift = (float(value) for value in arrays["calibration"])
        return cls(
            np.ascontiguousarray(arrays["features"], np.int32),
            np.ascontiguousarray(arrays["thresholds"], np.float32),
            np.ascontiguousarray(arrays["leaves"], np.float32),
            bias,
            scale,
            shift,
        )
