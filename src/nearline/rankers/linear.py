"""Logistic regression: the light ranker, and the calibration of the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from nearline.schema.errors import NearlineError

Floats = NDArray[np.float64]
_CLIP = 6.0
_HEAVY = 12.0


@dataclass(frozen=True, slots=True, eq=False)
class TrainingRows:
    """Candidates that were shown, and what happened to them.

    Args:
        x: `[n_rows, n_features] float32`; NaN is missing.
        y: `[n_rows] float32`, 0 or 1.
        weight: `[n_rows] float32`, not negative (inverse propensities, say).
        group: `[n_rows] int32`, the list of each row, not decreasing.

    Raises:
        NearlineError: if shapes differ, there are no rows, a value is out of range or all of `y` is the same.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    weight: NDArray[np.float32]
    group: NDArray[np.int32]
    starts: NDArray[np.intp] = field(init=False)

    def __post_init__(self) -> None:
        n_rows = len(self.x)
        if self.x.ndim != 2 or not self.x.size:
            raise NearlineError("x", self.x.shape, "give [n_rows, n_features] with at least one of each")
        for name in ("y", "weight", "group"):
            if getattr(self, name).shape != (n_rows,):
                remedy = f"give one value for each of {n_rows} rows"
                raise NearlineError(name, getattr(self, name).shape, remedy)
        if not np.isin(self.y, (0, 1)).all():
            raise NearlineError("y", "other values", "label each row 0 or 1")
        if not np.isfinite(self.weight).all() or self.weight.min() < 0:
            raise NearlineError("weight", "negative or not finite", "give finite weights from 0 up")
        if (np.diff(self.group) < 0).any():
            raise NearlineError("group", "decreasing", "sort the rows by list")
        if not 0 < self.rate < 1:
            label = "all 0" if self.rate == 0 else "all 1"
            raise NearlineError("y", label, "train on rows with and without a click (of weight above 0)")
        object.__setattr__(self, "starts", np.flatnonzero(np.diff(self.group, prepend=self.group[0] - 1)))

    @property
    def rate(self) -> float:
        """Weighted share of positive rows."""
        total = self.weight.sum(dtype=np.float64)
        return float(self.y @ self.weight.astype(np.float64) / total) if total else 0.0

    def spread(self, by_list: Floats) -> Floats:
        """Repeat one value a list for each of the list's rows."""
        return np.repeat(by_list, np.diff(self.starts, append=len(self.y)))


@dataclass(frozen=True, slots=True, eq=False)
class LogisticModel:
    """`sigmoid(bias + sum_f weights[f] * z[f])`, with `z` the standardised and clipped feature.

    A feature with a heavy tail (counts, ages) is replaced by `asinh(x / tail)` first, which is linear below
    `tail` and logarithmic above. A missing value counts as the mean.

    Args:
        mean: `[n_features] float32`, over finite training values, after the tail is folded.
        deviation: `[n_features] float32`, likewise, positive.
        tail: `[n_features] float32`, positive where the feature is folded, else 0.
        weights: `[n_features] float32`, log-odds for one deviation.
        bias: log-odds of a candidate with mean features.
    """

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]
    tail: NDArray[np.float32]
    weights: NDArray[np.float32]
    bias: float = 0.0

    def __post_init__(self) -> None:
        shapes = [part.shape for part in (self.mean, self.deviation, self.tail, self.weights)]
        if len(set(shapes)) > 1 or len(shapes[0]) != 1:
            raise NearlineError("logistic", shapes, "give four arrays of one value a feature")

    def predict(self, columns: NDArray[np.float32], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Return the probability of a positive event for each candidate.

        Args:
            columns: `[n_features, n_candidates] float32`; NaN is missing.
            out: `[n_candidates] float32`, to write into.

        Returns:
            `out` or a new `[n_candidates] float32`.

        Raises:
            NearlineError: if `columns` hasn't the features of the training rows.
        """
        if columns.ndim != 2 or len(columns) != len(self.weights):
            raise NearlineError("columns", columns.shape, f"give [{len(self.weights)}, n_candidates]")
        margins = self.weights @ standardise(columns, self.tail, self.mean, self.deviation)
        margins += np.float32(self.bias)
        return np.asarray(expit(margins, out=out))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the model as named arrays, for a file; `from_arrays` reads them back."""
        return {field.name: np.asarray(getattr(self, field.name), np.float32) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> LogisticModel:
        """Rebuild the model from what `arrays` returned.

        Raises:
            NearlineError: if an array is absent or the shapes don't fit together.
        """
        names = [field.name for field in fields(cls)]
        if absent := [name for name in names if name not in arrays]:
            raise NearlineError("arrays", sorted(arrays), f"add {', '.join(absent)}; was the file cut short?")
        mean, deviation, tail, weights, bias = (np.asarray(arrays[name], np.float32) for name in names)
        return cls(mean, deviation, tail, weights, float(bias))


def fit_logistic(rows: TrainingRows, l2: float = 1.0) -> LogisticModel:
    """Fit logistic regression with an L2 penalty by L-BFGS.

    Minimises `sum_i w_i logloss_i + l2 / 2 * |weights|^2`, with `w` scaled to mean 1 and the bias free.

    Args:
        rows: what to learn from; the lists don't matter.
        l2: strength of the penalty, in rows; not negative.

    Raises:
        NearlineError: if `l2` is negative.
    """
    if l2 < 0:
        raise NearlineError("logistic.l2", l2, "choose 0 or more")
    columns = np.ascontiguousarray(rows.x.T, np.float32)
    n_features = len(columns)
    mean, deviation, tail = (np.empty(n_features, np.float32) for _ in range(3))
    for i, column in enumerate(columns):
        mean[i], deviation[i], tail[i] = describe(column)
    z = standardise(columns, tail, mean, deviation)
    weight = rows.weight / rows.weight.sum(dtype=np.float64)
    ridge = l2 / len(rows.y)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        weights, bias = parameters[:-1], parameters[-1]
        margin = (weights.astype(np.float32) @ z).astype(np.float64) + bias
        error = weight * (expit(margin) - rows.y)
        value = weight @ (np.logaddexp(0, margin) - rows.y * margin) + ridge / 2 * (weights @ weights)
        slope = (z @ error.astype(np.float32)).astype(np.float64) + ridge * weights
        return float(value), np.append(slope, error.sum())

    start = np.append(np.zeros(n_features), np.log(rows.rate / (1 - rows.rate)))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 300}).x
    return LogisticModel(mean, deviation, tail, found[:-1].astype(np.float32), float(np.float32(found[-1])))


def calibrate(score: Floats, rows: TrainingRows) -> tuple[float, float]:
    """Fit `sigmoid(a * score + b)` to the rows by weighted log loss, `a > 0` (Platt 1999).

    Listwise scores grow like `log p`, not like the log-odds: the fit is close while clicks are rare, and some
    hundredths off where every third candidate is clicked.

    Returns:
        `a, b`.
    """
    weight = rows.weight / rows.weight.sum(dtype=np.float64)
    middle, width = float(weight @ score), float(score.std())
    prior = np.log(rows.rate / (1 - rows.rate))
    if width < 1e-6:
        return 1.0, prior - middle
    unit = (score - middle) / width

    def loss(ab: Floats) -> tuple[float, Floats]:
        z = ab[0] * unit + ab[1]
        error = weight * (expit(z) - rows.y)
        return float(weight @ (np.logaddexp(0, z) - rows.y * z)), np.array([error @ unit, error.sum()])

    a, b = minimize(loss, [1.0, prior], jac=True, method="L-BFGS-B", bounds=[(1e-3, 1e3), (None, None)]).x
    return float(a / width), float(b - a * middle / width)


def describe(column: NDArray[np.float32]) -> tuple[float, float, float]:
    """Return mean, deviation and tail (0: none) of a feature's finite values."""
    finite = column[np.isfinite(column)].astype(np.float64)
    if not finite.size:
        return 0.0, 1.0, 0.0
    low, middle, high = np.quantile(finite, (0.001, 0.5, 0.999))
    size = float(np.median(np.abs(finite[finite != 0]))) if finite.any() else 1.0
    usual = float(np.median(np.abs(finite - middle))) or size  # most are the same: compare with the others
    tail = size if max(high - middle, middle - low) > _HEAVY * usual else 0.0
    finite = np.arcsinh(finite / tail) if tail else finite
    deviation = float(finite.std())
    return float(finite.mean()), deviation if deviation > 1e-6 * (1 + abs(finite.mean())) else 1.0, tail


def standardise(
    columns: NDArray[np.float32],
    tail: NDArray[np.float32],
    mean: NDArray[np.float32],
    deviation: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return `[n_features, n] float32`: fold tails, centre, scale, clip to six deviations, put 0 for NaN."""
    z = np.array(columns, np.float32)
    for i in np.flatnonzero(tail):
        z[i] = np.arcsinh(z[i] / tail[i])
    z -= mean[:, None]
    z /= deviation[:, None]
    np.clip(z, -_CLIP, _CLIP, out=z)
    np.copyto(z, 0.0, where=np.isnan(z))
    return z
