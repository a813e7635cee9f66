"""Training of gradient-boosted oblivious trees on the lists people were shown."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from nearline.rankers.growing import Floats, Grower, Leaves, Tree, borders, quantise
from nearline.rankers.linear import TrainingRows, calibrate
from nearline.rankers.oblivious import ObliviousTrees
from nearline.schema.errors import NearlineError

SAMPLE = 200_000
"""Rows that borders are chosen from, at most."""


@dataclass(frozen=True, slots=True)
class BoostingConfig:
    """How to grow the trees.

    Args:
        objective: "logistic" models each row by itself; "listwise" models which row of its list was chosen,
            and so ignores what all rows of a list share (some people click on everything).
        trees: how many trees at most, each of `depth` levels (1 to 8).
        depth: comparisons a tree makes.
        learning_rate: what each leaf's Newton step is multiplied with.
        l2: regularisation of leaf values, in rows of mean weight; positive.
        bins: values a feature is quantised to (2 to 256).
        row_sample: share of rows that choose a tree's splits; all of them take the step in its leaves.
        patience: with validation rows, an outcome is done after this many trees without an improvement.
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


def _derivatives(rows: TrainingRows, weight: Floats, score: Floats, listwise: bool) -> tuple[Floats, Floats]:
    """Return gradient and hessian of the loss by row.

    Logistic: `w (p - y)`, `w p (1 - p)`. Listwise: the positives of a list are draws from the softmax of its
    scores (ListNet, Cao et al. 2007; CatBoost's QuerySoftMax): `s p - w y`, `s p (1 - p)`, with `s` the
    list's sum of `w y`. A row of weight w is w rows: a drawn negative stands for those that were not drawn.
    """
    if not listwise:
        p = expit(score)
        return weight * (p - rows.y), weight * p * (1 - p)
    power = weight * np.exp(score - rows.spread(np.maximum.reduceat(score, rows.starts)))
    p = power / rows.spread(np.add.reduceat(power, rows.starts))
    drawn = weight * rows.y
    draws = rows.spread(np.add.reduceat(drawn, rows.starts))
    return draws * p - drawn, draws * p * (1 - p)


def _loss(rows: TrainingRows, score: Floats, listwise: bool) -> float:
    """Return the loss whose derivatives are above, summed over the rows."""
    if not listwise:
        return float(rows.weight @ (np.logaddexp(0, score) - rows.y * score))
    top = np.maximum.reduceat(score, rows.starts)
    mass = np.add.reduceat(rows.weight * np.exp(score - rows.spread(top)), rows.starts)
    return float((rows.weight * rows.y) @ (rows.spread(np.log(mass) + top) - score))


class _Outcome:
    """The boosting of one outcome: scores of its rows, leaf values so far, and how many trees were best."""

    def __init__(self, rows: TrainingRows, validation: TrainingRows | None, config: BoostingConfig) -> None:
        lowest, highest = (edge.reduceat(rows.y, rows.starts) for edge in (np.minimum, np.maximum))
        self.listwise = config.objective == "listwise"
        if self.listwise and (lowest == highest).all():
            raise NearlineError("group", "lists of one label", 'mix clicks and non-clicks, or train "logistic"')
        if validation and validation.x.shape[1] != rows.x.shape[1]:
            remedy = f"give the {rows.x.shape[1]} training features"
            raise NearlineError("validation.x", validation.x.shape, remedy)
        self.rows, self.validation, self.config = rows, validation, config
        self.weight = rows.weight / rows.weight.mean(dtype=np.float64)
        self.bias = 0.0 if self.listwise else float(np.log(rows.rate / (1 - rows.rate)))
        self.score = np.full(len(rows.y), self.bias)
        self.watched = np.full(len(validation.y), self.bias) if validation else self.score
        self.judged, self.least = self.watched, np.inf
        self.values: list[NDArray[np.float32]] = []
        self.best, self.exhausted = 0, False

    @property
    def open(self) -> bool:
        """Whether another tree may help."""
        return not self.exhausted and len(self.values) - self.best < self.config.patience

    def slopes(self) -> tuple[Floats, Floats]:
        """Return gradient and hessian by row."""
        return _derivatives(self.rows, self.weight, self.score, self.listwise)

    def step(self, slopes: tuple[Floats, Floats], leaf: Leaves, watched: Leaves | None) -> None:
        """Take a Newton step in each leaf.

        Args:
            slopes: gradient and hessian by row.
            leaf: of the training rows.
            watched: leaf of the validation rows.
        """
        g, h = (np.bincount(leaf, each, 1 << self.config.depth) for each in slopes)
        values = (-self.config.learning_rate * g / (h + self.config.l2)).astype(np.float32)
        self.values.append(values)
        self.score = self.score + values[leaf]
        if self.validation is None or watched is None:
            self.best, self.judged = len(self.values), self.score
            return
        self.watched = self.watched + values[watched]
        if (loss := _loss(self.validation, self.watched, self.listwise)) < self.least:
            self.best, self.judged, self.least = len(self.values), self.watched, loss

    def leaves(self, n_trees: int) -> NDArray[np.float32]:
        """Return `[n_trees, 2**depth] float32`: nothing after the best tree."""
        leaves = np.zeros((n_trees, 1 << self.config.depth), np.float32)
        leaves[: self.best] = self.values[: self.best]
        return leaves

    def calibration(self) -> tuple[float, float]:
        """Return slope and intercept of the sum of the leaves."""
        if not self.listwise and self.validation is None:
            return 1.0, self.bias
        slope, shift = calibrate(self.judged, self.validation or self.rows)
        return slope, shift + slope * self.bias


def fit_trees(
    rows: Sequence[TrainingRows | None],
    config: BoostingConfig,
    validation: Sequence[TrainingRows | None] = (),
    threads: int = 2,
) -> ObliviousTrees:
    """Boost oblivious trees (Friedman 2001; Prokhorenkova et al. 2018) and calibrate them.

    The outcomes take turns: each tree is grown for one of them, and all of them take their own step in its leaves. So a
    rare outcome gets splits of its own, and none has to be weighed against another.

    The result depends on the rows, the config and its seed only, not on `threads`. With validation rows, an outcome
    stops early by their loss (the objective's own: NDCG@k of a few hundred lists is too noisy, and
    stops before the scores can be calibrated), and the calibration is fitted to them. Without, "listwise" is
    calibrated on the training rows, which is overconfident if they are few, and "logistic" is left as it is.

    Args:
        rows: what to learn from, by outcome, of the same candidates; `None` for an outcome that can't be learned.
        config: how.
        validation: other rows with the same features, by outcome; `None` where they lack positives or negatives.
        threads: how many to use; the kernels release the GIL.

    Raises:
        NearlineError: if no outcome can be learned, the features differ, or no list has both a positive and a
            negative ("listwise").
    """
    beside = validation or [None] * len(rows)
    learned = {place: _Outcome(own, other, config) for place, (own, other) in enumerate(zip(rows, beside, strict=True)) if own}
    if not learned:
        raise NearlineError("rows", "no outcome", "give examples with and without a click")
    parts = list(learned.values())
    x = np.asarray(parts[0].rows.x, np.float32)
    random = np.random.default_rng(config.seed)
    # Drawn, not each so many: rows of a list stand in an order of their own.
    some = random.permutation(len(x))[:SAMPLE] if len(x) > SAMPLE else slice(None)
    other = next((part.validation for part in parts if part.validation), None)
    grown: list[Tree] = []
    with ThreadPoolExecutor(threads) as pool:
        cuts = list(pool.map(lambda column: borders(column, config.bins), x[some].T))
        watched = None if other is None else quantise(np.asarray(other.x, np.float32), cuts, pool)
        grower = Grower(quantise(x, cuts, pool), cuts, config.depth, config.bins, config.l2, pool)
        while len(grown) < config.trees and (open_ := [part for part in parts if part.open]):
            slopes = [part.slopes() for part in open_]
            turn = len(grown) % len(open_)
            chosen = np.flatnonzero(random.random(len(x)) < config.row_sample) if config.row_sample < 1 else None
            tree = grower.grow(*slopes[turn], chosen)
            grown.append(tree)
            leaf, fallen = tree.leaf(grower.binned), None if watched is None else tree.leaf(watched)
            for part, own in zip(open_, slopes, strict=True):
                part.step(own, leaf, fallen)
            open_[turn].exhausted = bool(np.isinf(tree.thresholds[0]))  # nothing left to split
    n_trees = max(part.best for part in parts)
    return ObliviousTrees(
        np.array([tree.features for tree in grown[:n_trees]]),
        np.array([tree.thresholds for tree in grown[:n_trees]]),
        np.array([part.leaves(n_trees) for part in parts]),
        np.array([part.calibration() for part in parts], np.float32),
        np.array(list(learned), np.int32),
        len(rows),
    )
