"""Several outcomes share trees: each is learned, one that can't be is left out, and the arithmetic is exact enough."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from nearline.rankers.boosting import BoostingConfig, fit_trees
from nearline.rankers.linear import TrainingRows
from nearline.rankers.logistic import LogisticRanker
from nearline.rankers.oblivious import BLOCK, ObliviousTrees
from nearline.rankers.trees import TreesRanker
from nearline.schema.components import Examples, Ranker
from nearline.schema.errors import NearlineError

TASTES = ((0, 2.0, -2.0), (1, 2.5, -6.5), (2, 1.5, -3.0))
"""Feature, slope and intercept of each outcome; the second is rare."""


def examples(seed: int, lists: int = 700) -> Examples:
    """Lists of 30 with three outcomes that are about different features; a fourth never happens."""
    random = np.random.default_rng(seed)
    n = lists * 30
    x = random.normal(size=(n, 6)).astype(np.float32)
    y = np.zeros((n, 4), np.float32)
    for place, (feature, slope, intercept) in zip((0, 1, 3), TASTES, strict=True):
        y[:, place] = random.random(n) < expit(slope * x[:, feature] + intercept)
    group = np.repeat(np.arange(lists, dtype=np.int32), 30)
    return Examples(x, y, np.ones(n, np.float32), group, [f"f{i}" for i in range(6)], ["a", "b", "never", "c"])


def auc(score: NDArray[np.float32], y: NDArray[np.float32]) -> float:
    """Rank statistic of positives over negatives."""
    rank = np.empty(len(score))
    rank[np.argsort(score, kind="stable")] = np.arange(1, len(score) + 1)
    positives = float(y.sum())
    return float((rank[y > 0].sum() - positives * (positives + 1) / 2) / (positives * (len(y) - positives)))


def random_trees(outcomes: int, trees: int, depth: int, seed: int = 0) -> ObliviousTrees:
    """Return a model of random splits and leaves, of sizes that differ by outcome."""
    random = np.random.default_rng(seed)
    sizes = 10.0 ** random.uniform(-3, 0, outcomes)
    return ObliviousTrees(
        random.integers(0, 5, (trees, depth)).astype(np.int32),
        random.normal(size=(trees, depth)).astype(np.float32),
        (random.normal(size=(outcomes, trees, 1 << depth)) * sizes[:, None, None]).astype(np.float32),
        np.stack([random.uniform(0.5, 2, outcomes), random.normal(size=outcomes)], 1).astype(np.float32),
        np.arange(outcomes, dtype=np.int32)[::-1].copy(),
        outcomes,
    )


def reference(model: ObliviousTrees, columns: NDArray[np.float32]) -> NDArray[np.float64]:
    """Score with NumPy, tree by tree, in double precision."""
    out = np.zeros((model.outcomes, columns.shape[1]))
    for learned, place in enumerate(model.places):
        margin = np.zeros(columns.shape[1])
        for tree, (features, thresholds) in enumerate(zip(model.features, model.thresholds, strict=True)):
            number = np.zeros(columns.shape[1], np.int64)
            for feature, threshold in zip(features, thresholds, strict=True):
                number = 2 * number + (columns[feature] > threshold)
            margin += model.leaves[learned, tree][number]
        slope, intercept = model.calibration[learned].astype(np.float64)
        out[place] = expit(slope * margin + intercept)
    return out


@pytest.mark.parametrize("outcomes", [1, 2, 3, 5])
@pytest.mark.parametrize(("trees", "depth"), [(1, 1), (4, 6), (7, 3), (30, 8)])
def test_any_number_of_outcomes_and_any_shape_score_as_the_formula_says(outcomes: int, trees: int, depth: int) -> None:
    model = random_trees(outcomes, trees, depth)
    columns = np.random.default_rng(1).normal(size=(5, BLOCK + 33)).astype(np.float32)
    columns[0, ::7] = np.nan
    np.testing.assert_allclose(model.predict(columns).astype(np.float64), reference(model, columns), rtol=2e-5, atol=1e-7)


def test_outcomes_that_share_an_integer_keep_their_signs() -> None:
    model = random_trees(2, 40, 4)
    low = replace(model, leaves=np.stack([np.abs(model.leaves[0]), -np.abs(model.leaves[1])]))
    columns = np.random.default_rng(2).normal(size=(5, 200)).astype(np.float32)
    np.testing.assert_allclose(low.predict(columns).astype(np.float64), reference(low, columns), rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("objective", ["logistic", "listwise"])
def test_every_outcome_is_learned_whatever_its_rate(objective: Any) -> None:
    taught, later = examples(1), examples(2)
    ranker = TreesRanker(objective, trees=60)
    ranker.load(ranker.fit(taught, 0))
    p = ranker.score(np.ascontiguousarray(later.x.T))
    for place, (feature, slope, _) in zip((0, 1, 3), TASTES, strict=True):
        best = auc(slope * later.x[:, feature], later.y[:, place])
        assert auc(p[place], later.y[:, place]) > best - 0.02
        assert p[place].mean() == pytest.approx(later.y[:, place].mean(), rel=0.25)


def test_outcomes_take_turns_in_choosing_the_splits() -> None:
    trees = TreesRanker(trees=6, depth=2).fit(examples(1), 0)
    assert trees["features"][:, 0].tolist() == [feature for feature, _, _ in TASTES] * 2


@pytest.mark.parametrize("ranker", [TreesRanker(trees=10), LogisticRanker()])
def test_an_outcome_that_never_happens_scores_nothing(ranker: Ranker) -> None:
    taught = examples(3, lists=100)
    ranker.load(ranker.fit(taught, 0))
    p = ranker.score(np.ascontiguousarray(taught.x.T))
    assert p.shape == (4, len(taught.x))
    assert not p[2].any()
    assert (p[[0, 1, 3]] > 0).all()
    with pytest.raises(NearlineError, match="examples"):
        ranker.fit(replace(taught, y=np.zeros_like(taught.y)), 0)


def test_outcomes_that_can_not_be_learned_change_nothing_for_the_one_that_can() -> None:
    taught = examples(4, lists=100)
    rows = TrainingRows(taught.x, taught.y[:, 0].copy(), taught.weight, taught.group)
    config = BoostingConfig(trees=8, depth=3)
    alone, beside = fit_trees([rows], config), fit_trees([None, rows, None], config)
    columns = np.ascontiguousarray(taught.x.T)
    assert (alone.predict(columns)[0] == beside.predict(columns)[1]).all()
    assert not beside.predict(columns)[[0, 2]].any()


def test_an_outcome_keeps_the_trees_that_were_best_for_it() -> None:
    taught, later = examples(5, lists=60), examples(6, lists=60)
    both = [TrainingRows(taught.x, taught.y[:, place].copy(), taught.weight, taught.group) for place in (0, 1)]
    held = [TrainingRows(later.x, later.y[:, place].copy(), later.weight, later.group) for place in (0, 1)]
    model = fit_trees(both, BoostingConfig(trees=200, learning_rate=0.3, patience=5), held)
    used = [int(np.flatnonzero(np.abs(leaves).max(1))[-1]) + 1 for leaves in model.leaves]
    assert max(used) == len(model.features)
    assert used[0] != used[1]
    # Fewer or more trees than those kept would be worse for the rows that were watched.
    for place, leaves in enumerate(model.leaves):
        losses = []
        for kept in (used[place] // 2, used[place]):
            few = np.array(model.leaves)
            few[place] = leaves * (np.arange(len(leaves)) < kept)[:, None]
            p = replace(model, leaves=few).predict(np.ascontiguousarray(later.x.T))[place]
            y = held[place].y
            losses.append(-float((y * np.log(p) + (1 - y) * np.log1p(-p)).mean()))
        assert losses[1] <= losses[0]


def test_arrays_of_another_version_are_refused_with_the_remedy() -> None:
    with pytest.raises(NearlineError, match="train again"):
        TreesRanker().load({"outcomes": np.array([1]), "0.features": np.zeros((1, 6), np.int32)})
