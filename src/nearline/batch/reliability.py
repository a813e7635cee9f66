"""Reliability: whether what is given a probability happens as often as it says."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from nearline.schema.errors import NearlineError


class Bin(msgspec.Struct, frozen=True):
    """Predictions of about the same height: how many, their mean, and how often it happened."""

    weight: float
    predicted: float
    happened: float


class Reliability(msgspec.Struct, frozen=True):
    """Predictions against what happened.

    Attributes:
        bins: from the lowest to the highest prediction, of about equal mass.
        predicted, happened: means over all.
        error: expected calibration error, the mean over rows of |predicted - happened| of the row's bin (Naeini et al. 2015).
    """

    bins: list[Bin]
    predicted: float
    happened: float
    error: float

    @property
    def relative(self) -> float:
        """Return the error as a share of how often it happens at all: what is rare has a small error however wrong it is."""
        return self.error / self.happened if self.happened else float("nan")


def reliability(predicted: ArrayLike, happened: ArrayLike, weight: ArrayLike | None = None, bins: int = 15) -> Reliability:
    """Return how predictions compare with what happened, in bins of equal mass (by weight; equal predictions stay together).

    Args:
        predicted: probabilities, `[n]`.
        happened: 0 or 1, `[n]`.
        weight: rows that each stands for, `[n]`; one each when not given.
        bins: at most so many.

    Raises:
        NearlineError: no row at all, or shapes differ.
    """
    p, y = np.asarray(predicted, np.float64), np.asarray(happened, np.float64)
    w = np.ones_like(p) if weight is None else np.asarray(weight, np.float64)
    if not p.size or not p.shape == y.shape == w.shape or w.sum() <= 0:
        raise NearlineError("predicted", p.shape, f"give one value for each of {y.shape} outcomes, at least one")
    order = np.argsort(p, kind="stable")
    p, y, w = p[order], y[order], w[order]
    mass = np.cumsum(w)
    edges = np.searchsorted(mass, mass[-1] * np.arange(1, bins) / bins, side="left") + 1
    # Rows of one prediction are one bin's: the border moves behind the last of them.
    edges = np.searchsorted(p, p[np.minimum(edges, len(p)) - 1], side="right")
    starts = np.unique(np.concatenate([[0], edges[edges < len(p)]]))
    sums = [np.add.reduceat(column, starts) for column in (w, w * p, w * y)]
    filled = sums[0] > 0
    weights, mean_p, mean_y = sums[0][filled], sums[1][filled] / sums[0][filled], sums[2][filled] / sums[0][filled]
    found = [Bin(*row) for row in zip(weights.tolist(), mean_p.tolist(), mean_y.tolist(), strict=True)]
    error = float(np.average(np.abs(mean_p - mean_y), weights=weights))
    return Reliability(found, float(np.average(p, weights=w)), float(np.average(y, weights=w)), error)
