"""Training of gradient-boosted oblivious trees on the lists people were shown."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from nearline.rankers.linear import TrainingRows, calibrate
from nearline.rankers.oblivious import ObliviousTrees, add_trees
from nearline.schema.errors import NearlineError
from nearline.schema.kernel import f8, i8, kernel, u1, u2

Floats = NDArray[np.float64]
_Tree = tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]
_Level = tuple[NDArray[np.uint8], NDArray[np.uint16], NDArray[np.int64], int, int, float, float, float]
_FEATURES_A_TASK = 4


@dataclass(frozen=True, slots=True)
class BoostingConfig:
    """How to grow the trees.

    Args:
        objective: "logistic" models each row by itself; "listwise" models which row of its list was chosen,
            and so ignores what all rows of a list share (some people click on everything).
        trees: how many trees at most, each of `depth` levels (1 to 8).
        depth: comparisons a tree makes.
        learning_rate: what each tree's Newton step is multiplied with.
        l2: regularisation of leaf values, in rows of mean weight; positive.
        bins: values a feature is quantised to (2 to 256).
        row_sample: share of rows each tree sees.
        patience: with validation rows, stop after this many trees without an improvement.
        seed: of the row samples.
    """

    objective: Literal["logistic", "listwise"] = "logistic"
    trees: int = 150
    depth: int = 6
    learning_rate: float = 0.1
    l2: float = 3.0
    bins: int = 64
    row_sample: float = 1.0
    patience: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        bounds = {"trees": (1, 10_000), "depth": (1, 8), "bins": (2, 256), "patience": (1, 10_000)}
        positive = {"learning_rate": (1e-6, 1.0), "l2": (1e-6, 1e9), "row_sample": (1e-3, 1.0)}
        for name, (low, high) in (bounds | positive).items():
            if not low <= getattr(self, name) <= high:
                raise NearlineError(f"boosting.{name}", getattr(self, name), f"choose from {low} to {high}")
        if self.objective not in ("logistic", "listwise"):
            raise NearlineError("boosting.objective", self.objective, 'choose "logistic" or "listwise"')


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


def quantise(x: NDArray[np.float32], cuts: list[NDArray[np.float32]]) -> NDArray[np.uint8]:
    """Return `[n_features, n_rows] uint8`: how many borders are below each value (NaN: none)."""
    binned = np.empty(x.shape[::-1], np.uint8)
    for row, column, cut in zip(binned, x.T, cuts, strict=True):
        row[:] = np.where(np.isnan(column), 0, np.searchsorted(cut, column))
    return binned


@kernel(u1[:, ::1], u2[::1], i8[::1], i8, i8, f8, f8, f8, i8, i8, f8[::1], i8[::1])
def _best_splits(
    binned: NDArray[np.uint8],
    leaf: NDArray[np.uint16],
    packed: NDArray[np.int64],
    n_leaves: int,
    bins: int,
    gradient_unit: float,
    hessian_unit: float,
    l2: float,
    first: int,
    end: int,
    gains: Floats,
    cuts: NDArray[np.int64],
) -> None:
    """Find, for features `first` to `end`, the border that most lowers the loss of all leaves together.

    `packed` holds a row's gradient in the upper and its hessian in the lower 32 bits, in fixed point: one
    addition serves both, and sums of integers don't depend on their order. Two features share a pass over the
    rows.
    """
    both = np.empty((2, n_leaves * bins), np.int64)
    gain = np.empty(bins, np.float64)
    one, two = both[0], both[1]
    for feature in range(first, end, 2):
        both[:] = 0
        a, b = binned[feature], binned[min(feature + 1, end - 1)]
        for row in range(packed.size):
            cell = leaf[row] * np.uint32(bins)
            one[cell + a[row]] += packed[row]
            two[cell + b[row]] += packed[row]
        for side in range(min(2, end - feature)):
            gain[:] = 0.0
            for start in range(0, n_leaves * bins, bins):
                cells = both[side, start : start + bins]
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


def _derivatives(rows: TrainingRows, weight: Floats, score: Floats, listwise: bool) -> tuple[Floats, Floats]:
    """Return gradient and hessian of the loss by row.

    Logistic: `w (p - y)`, `w p (1 - p)`. Listwise: the positives of a list are draws from the softmax of its
    scores (ListNet, Cao et al. 2007; CatBoost's QuerySoftMax): `s p - w y`, `s p (1 - p)`, with `s` the
    list's sum of `w y`.
    """
    if not listwise:
        p = expit(score)
        return weight * (p - rows.y), weight * p * (1 - p)
    power = np.exp(score - rows.spread(np.maximum.reduceat(score, rows.starts)))
    p = power / rows.spread(np.add.reduceat(power, rows.starts))
    drawn = weight * rows.y
    draws = rows.spread(np.add.reduceat(drawn, rows.starts))
    return draws * p - drawn, draws * p * (1 - p)


def _pack(gradient: Floats, hessian: Floats) -> tuple[NDArray[np.int64], float, float]:
    """Return both in one integer a row, and the units; no sum of rows leaves its 32 bits."""
    gradient_unit = max(float(np.abs(gradient).sum()), 1e-30) / 2**30
    hessian_unit = max(float(hessian.sum()), 1e-30) / 2**30
    upper = np.rint(gradient / gradient_unit).astype(np.int64) << 32
    return upper + np.rint(hessian / hessian_unit).astype(np.int64), gradient_unit, hessian_unit


@dataclass(frozen=True, slots=True, eq=False)
class _Grower:
    """Grows one tree after the other on the same quantised rows."""

    config: BoostingConfig
    binned: NDArray[np.uint8]
    cuts: list[NDArray[np.float32]]
    pool: Executor

    def grow(self, gradient: Floats, hessian: Floats) -> tuple[_Tree, NDArray[np.uint16]]:
        """Return a tree (features, thresholds and leaf values) and the leaf of each row."""
        depth, n_features = self.config.depth, len(self.cuts)
        features, thresholds = np.zeros(depth, np.int32), np.full(depth, np.inf, np.float32)
        leaf = np.zeros(len(gradient), np.uint16)
        packed, gradient_unit, hessian_unit = _pack(gradient, hessian)
        units = (gradient_unit, hessian_unit, self.config.l2)
        gains, cuts = np.empty(n_features), np.empty(n_features, np.int64)
        for level in range(depth):
            rows = (self.binned, leaf, packed, 1 << level, self.config.bins, *units)

            def search(first: int, rows: _Level = rows) -> None:
                _best_splits(*rows, first, min(first + _FEATURES_A_TASK, n_features), gains, cuts)

            list(self.pool.map(search, range(0, n_features, _FEATURES_A_TASK)))
            best = int(gains.argmax())
            if gains[best] <= 1e-9:
                leaf <<= depth - level  # the levels not used give zeros
                break
            features[level], thresholds[level] = best, self.cuts[best][cuts[best]]
            leaf = leaf * np.uint16(2) + (self.binned[best] > cuts[best])
        g, h = (np.bincount(leaf, values, 1 << depth) for values in (gradient, hessian))
        values = (-self.config.learning_rate * g / (h + self.config.l2)).astype(np.float32)
        return (features, thresholds, values), leaf


def _watch(rows: TrainingRows, bias: float, listwise: bool) -> Callable[[_Tree], float]:
    """Return what adds a tree to the scores of the validation rows and tells the loss so far."""
    columns, total = np.ascontiguousarray(rows.x.T, np.float32), np.full(len(rows.y), bias, np.float32)

    def watch(tree: _Tree) -> float:
        features, thresholds, values = tree
        add_trees(columns, features[None], thresholds[None], values[None], total)
        if not listwise:
            return float(rows.weight @ (np.logaddexp(0, total) - rows.y * total))
        top = np.maximum.reduceat(total, rows.starts)
        mass = np.add.reduceat(np.exp(total - rows.spread(top)), rows.starts)
        return float((rows.weight * rows.y) @ (rows.spread(np.log(mass) + top) - total))

    return watch


def fit_trees(
    rows: TrainingRows, config: BoostingConfig, validation: TrainingRows | None = None, threads: int = 2
) -> ObliviousTrees:
    """Boost oblivious trees (Friedman 2001; Prokhorenkova et al. 2018) and calibrate them.

    The result depends on the rows, the config and its seed only, not on `threads`. With validation rows,
    training stops early by their loss (the objective's own: NDCG@k of a few hundred lists is too noisy, and
    stops before the scores can be calibrated), and the calibration is fitted to them. Without, "listwise" is
    calibrated on the training rows, which is overconfident if they are few, and "logistic" is left as it is.

    Args:
        rows: what to learn from.
        config: how.
        validation: other rows with the same features.
        threads: how many to use; the kernels release the GIL.

    Raises:
        NearlineError: if the features differ, or no list has both a positive and a negative ("listwise").
    """
    listwise = config.objective == "listwise"
    lowest, highest = (edge.reduceat(rows.y, rows.starts) for edge in (np.minimum, np.maximum))
    if listwise and (lowest == highest).all():
        raise NearlineError("group", "lists of one label", 'mix clicks and non-clicks, or train "logistic"')
    if validation and validation.x.shape[1] != rows.x.shape[1]:
        remedy = f"give the {rows.x.shape[1]} training features"
        raise NearlineError("validation.x", validation.x.shape, remedy)
    x, n_rows = np.asarray(rows.x, np.float32), len(rows.y)
    weight = rows.weight / rows.weight.mean(dtype=np.float64)
    cuts = [borders(column, config.bins) for column in x.T]
    bias = 0.0 if listwise else float(np.float32(np.log(rows.rate / (1 - rows.rate))))
    score, random = np.full(n_rows, bias), np.random.default_rng(config.seed)
    watch = _watch(validation, bias, listwise) if validation else None
    grown, best, best_loss = [], 0, np.inf
    with ThreadPoolExecutor(threads) as pool:
        grower = _Grower(config, quantise(x, cuts), cuts, pool)
        for count in range(1, config.trees + 1):
            gradient, hessian = _derivatives(rows, weight, score, listwise)
            if config.row_sample < 1:
                keep = random.random(n_rows) < config.row_sample
                gradient, hessian = gradient * keep, hessian * keep
            tree, leaf = grower.grow(gradient, hessian)
            grown.append(tree)
            score += tree[2][leaf]
            if watch is None or (loss := watch(tree)) < best_loss:
                best, best_loss = count, np.inf if watch is None else loss
            exhausted = np.isinf(tree[1][0])  # nothing left to split
            if exhausted or count - best >= config.patience:
                break
    features, thresholds, leaves = (np.array(parts) for parts in zip(*grown[:best], strict=True))
    model = ObliviousTrees(features, thresholds, leaves, bias)
    if not listwise and validation is None:
        return model
    judge = validation or rows
    margins = model.margins(np.ascontiguousarray(judge.x.T, np.float32)).astype(np.float64)
    scale, shift = calibrate(margins, judge)
    return ObliviousTrees(features, thresholds, leaves, bias, scale, shift)
