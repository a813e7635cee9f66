"""Position bias: what stands on top is looked at more often, so that the lower a place, the less its silence says.

People are taken to look from the top down to some depth, and to touch what they look at as far as they want it: a list was
looked at down to its deepest touch for sure, and further with a probability that falls with each place. How it falls, and how
wanted each item is, is fitted by expectation maximisation to the lists that were shown (the dependent click model of Guo et al.
2009 in its simplest form, with a logistic regression for what is wanted, as in the regression EM of Wang et al. 2018).

What rankers learn from is each row, but an untouched one counts only with the probability that it was looked at, given what was
touched in its list: what nobody saw says nothing. No weight is above 1, so that, unlike with inverse propensities, nothing rare
outweighs the rest, and any ranker that knows weights can learn from them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from nearline.rankers.linear import TrainingRows, describe, standardise
from nearline.schema.components import Examples
from nearline.schema.query import SURFACES

Floats = NDArray[np.float64]
LEAST = 100
"""Touched lists from which a surface gets depths of its own."""
_RIDGE, _SMOOTH = 1.0, 10.0


def examined(examples: Examples) -> tuple[Examples, dict[str, Floats]]:
    """Return examples in which untouched rows weigh as much as they are likely to have been looked at, and how likely that is.

    The latter is by surface ("" for all that have too few lists), `[n_places] float64`, whatever was touched; nothing where too
    little was shown. Rows of which it is known that they were looked at, and those that were in no list, stay as they are.
    """
    places = examples.places
    if places is None:
        return examples, {}
    doubtful = places.doubtful & (places.rank > 0)
    touched = np.asarray(examples.y.any(axis=1), np.bool_)
    if (touched & doubtful).sum() < LEAST or touched[doubtful].all():
        return examples, {}
    codes = places.surface[doubtful]
    own = [code for code in np.unique(codes).tolist() if code and (touched[doubtful] & (codes == code)).sum() >= LEAST]
    part = np.zeros(len(codes), np.int64)
    for number, code in enumerate(own):
        part[codes == code] = number + 1
    rows = TrainingRows(
        examples.x[doubtful], touched[doubtful].astype(np.float32), examples.weight[doubtful], examples.group[doubtful]
    )
    chance, looked_at = fit_examination(rows, places.rank[doubtful].astype(np.int64), part)
    weight = examples.weight.copy()
    weight[doubtful] *= np.where(touched[doubtful], 1.0, looked_at).astype(np.float32)
    names = ["", *(SURFACES[code - 1] for code in own)]
    return replace(examples, weight=weight), {name: chance[n] for n, name in enumerate(names) if np.any(part == n)}


def fit_examination(rows: TrainingRows, rank: NDArray[np.int64], part: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return the chance that people look down to a place, `[n_parts, n_places]`, and that each row was looked at, `[n]`.

    Args:
        rows: whole lists, by rank; `y` says what was touched, the weight of a list's rows is the same.
        rank: from 1, `[n]`.
        part: which of the curves is the list's, `[n]`.
    """
    columns = np.ascontiguousarray(rows.x.T, np.float32)
    described = np.array([describe(column) for column in columns], np.float32)
    z = standardise(columns, described[:, 2], described[:, 0], described[:, 1])
    lists = _Lists(rows, rank, part)
    n_features, shape = len(z), (lists.n_parts, lists.depth)
    share = (rows.weight / rows.weight.sum(dtype=np.float64)).astype(np.float64)
    ridge, smooth = _RIDGE / len(rank), _SMOOTH / len(rank)

    def parts_of(parameters: Floats) -> tuple[Floats, float, Floats]:
        return parameters[:n_features], float(parameters[n_features]), parameters[n_features + 1 :].reshape(shape)

    def wanted(w: Floats, b: float) -> Floats:
        return np.asarray(expit((w.astype(np.float32) @ z).astype(np.float64) + b))

    def loss(parameters: Floats) -> tuple[float, Floats]:
        w, b, ends = parts_of(parameters)
        like = wanted(w, b)
        value, looked_at, by_ends = lists.expected(like, ends)
        # By Fisher's identity, the likelihood's slope is that of the rows, as far as they were looked at.
        error = share * looked_at * (like - rows.y)
        fall = np.diff(ends, axis=1)
        by_ends[:, 1:] += smooth * fall
        by_ends[:, :-1] -= smooth * fall
        slope = np.concatenate([(z @ error.astype(np.float32)) + ridge * w, [error.sum()], by_ends.ravel()])
        return value + ridge / 2 * float(w @ w) + smooth / 2 * float((fall**2).sum()), slope

    start = np.concatenate([np.zeros(n_features), [np.log(rows.rate / (1 - rows.rate))], np.full(shape[0] * shape[1], -2.0)])
    found = parts_of(minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 150}).x)
    _, looked_at, _ = lists.expected(wanted(*found[:2]), found[2])
    on = np.cumprod(expit(-found[2]), axis=1)[:, :-1]
    return np.concatenate([np.ones((shape[0], 1)), on], axis=1), looked_at


class _Lists:
    """Lists as a matrix, and what the model expects of them."""

    def __init__(self, rows: TrainingRows, rank: NDArray[np.int64], part: NDArray[np.int64]) -> None:
        n, self.depth = len(rows.starts), int(rank.max())
        self.at = np.repeat(np.arange(n), np.diff(rows.starts, append=len(rank))), rank - 1
        there, self.touched = np.zeros((n, self.depth), np.bool_), np.zeros((n, self.depth), np.bool_)
        there[self.at], self.touched[self.at] = True, rows.y > 0
        places = np.arange(self.depth)
        last = self.depth - 1 - np.argmax(there[:, ::-1], axis=1)
        deepest = np.where(self.touched.any(axis=1), self.depth - 1 - np.argmax(self.touched[:, ::-1], axis=1), 0)
        self.possible = (places >= deepest[:, None]) & (places <= last[:, None])
        self.inside = places < last[:, None]  # who sees the last place may have gone on
        self.weight = rows.weight[rows.starts] / rows.weight.sum(dtype=np.float64)
        self.part, self.n_parts = part[rows.starts], int(part.max()) + 1

    def expected(self, like: Floats, ends: Floats) -> tuple[float, Floats, Floats]:
        """Return the negative log-likelihood by row, the chance that each row was looked at, and the slope by `ends`.

        Args:
            like: how likely a row is touched once it is looked at, `[n]`.
            ends: log-odds that a place is the last, once it is looked at, `[n_parts, depth]`.
        """
        by_place = np.zeros(self.touched.shape)
        by_place[self.at] = np.clip(like, 1e-9, 1 - 1e-9)
        answers = np.cumsum(np.where(self.touched, np.log(np.maximum(by_place, 1e-9)), np.log1p(-by_place)), axis=1)
        stop, go = -np.logaddexp(0, -ends), -np.logaddexp(0, ends)
        reach = np.concatenate([np.zeros((self.n_parts, 1)), np.cumsum(go, axis=1)[:, :-1]], axis=1)
        log = answers + reach[self.part] + np.where(self.inside, stop[self.part], 0.0)
        log = np.where(self.possible, log, -np.inf)
        top = log.max(axis=1, keepdims=True)
        stops = np.exp(log - top)
        mass = stops.sum(axis=1, keepdims=True)
        stops /= mass
        looked_at = np.cumsum(stops[:, ::-1], axis=1)[:, ::-1]
        likelihood = float(self.weight @ (top + np.log(mass)).ravel())
        chance = expit(ends)[self.part]
        slope = self.weight[:, None] * np.where(self.inside, stops - looked_at * chance, 0.0)
        by_ends = np.stack([slope[self.part == p].sum(axis=0) for p in range(self.n_parts)])
        return -likelihood, looked_at[self.at], -by_ends
