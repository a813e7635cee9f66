"""The base rankers' models: they learn, they are calibrated, and serving agrees with training."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from nearline.rankers.boosting import BoostingConfig, fit_trees
from nearline.rankers.growing import Grower, borders, quantise
from nearline.rankers.linear import LogisticModel, TrainingRows, calibrate, fit_logistic
from nearline.rankers.oblivious import BLOCK, ObliviousTrees
from nearline.schema.errors import NearlineError

SIZE = 40
SMALL = BoostingConfig("listwise", trees=20, depth=4)


def lists(count: int, seed: int) -> TrainingRows:
    """Lists of 40, one click each, drawn from the softmax of a taste no linear model can express."""
    random = np.random.default_rng(seed)
    n_rows = count * SIZE
    x = random.normal(size=(n_rows, 8)).astype(np.float32)
    taste = 2 * np.sin(2 * x[:, 0]) + 2 * x[:, 1] * x[:, 2] + x[:, 3]
    x[:, 4] = np.where(random.random(n_rows) < 0.7, 0, np.exp(3 * x[:, 4]))
    x[random.random(n_rows) < 0.1, 3] = np.nan
    x[:, 7] = 5
    drawn = taste.reshape(count, SIZE) + random.gumbel(size=(count, SIZE))
    y = (drawn == drawn.max(1, keepdims=True)).ravel().astype(np.float32)
    group = np.repeat(np.arange(count, dtype=np.int32), SIZE)
    return TrainingRows(x, y, np.ones(n_rows, np.float32), group)


def columns(rows: TrainingRows) -> NDArray[np.float32]:
    return np.ascontiguousarray(rows.x.T)


def ndcg10(score: NDArray[np.float32], rows: TrainingRows) -> float:
    """Each list has one click, so NDCG is the discount of its place."""
    scores, clicked = score.reshape(-1, SIZE), rows.y.reshape(-1, SIZE) > 0
    place = (scores >= scores[clicked][:, None]).sum(1)
    return float(np.where(place <= 10, 1 / np.log2(place + 1), 0).mean())


def calibration_error(p: NDArray[np.float32], rows: TrainingRows) -> float:
    """Expected calibration error over ten bins of equal size, relative to the rate of clicks."""
    bins = np.array_split(np.argsort(p, kind="stable"), 10)
    gaps = [abs(float(p[b].mean()) - float(rows.y[b].mean())) * len(b) for b in bins]
    return sum(gaps) / len(p) / rows.rate


@pytest.fixture(scope="module")
def train() -> TrainingRows:
    return lists(600, 1)


@pytest.fixture(scope="module")
def held_out() -> TrainingRows:
    return lists(300, 2)


@pytest.fixture(scope="module")
def fitted(train: TrainingRows) -> ObliviousTrees:
    return fit_trees([train], SMALL)


@pytest.mark.parametrize("objective", ["logistic", "listwise"])
def test_trees_learn_what_a_line_cannot_and_say_how_sure_they_are(
    objective: Any, train: TrainingRows, held_out: TrainingRows
) -> None:
    config = BoostingConfig(objective=objective)
    model = fit_trees([train], config, [lists(300, 3)])
    p = model.predict(columns(held_out))[0]
    line = fit_logistic(train).predict(columns(held_out))
    chance = np.random.default_rng(0).random(len(p)).astype(np.float32)
    assert ndcg10(p, held_out) > ndcg10(line, held_out) + 0.15
    assert ndcg10(line, held_out) > ndcg10(chance, held_out) + 0.05
    # Relative to the rate of clicks: an error of 0.03 wouldn't say much about probabilities near 1/40.
    assert calibration_error(p, held_out) < 0.15
    assert calibration_error(line, held_out) < 0.25
    assert abs(p.mean() - held_out.rate) < 0.1 * held_out.rate


@pytest.mark.parametrize("objective", ["logistic", "listwise"])
def test_probabilities_are_calibrated_at_other_rates(objective: Any) -> None:
    random = np.random.default_rng(5)
    x = random.normal(size=(36_000, 5)).astype(np.float32)
    truth = expit(1.5 * x[:, 0] - 3)
    y = (random.random(36_000) < truth).astype(np.float32)
    weight, group = np.ones(36_000, np.float32), np.arange(36_000, dtype=np.int32) // 30
    parts = [TrainingRows(x[i::3], y[i::3], weight[i::3], group[i::3]) for i in range(3)]
    p = fit_trees([parts[0]], BoostingConfig(objective=objective), [parts[2]]).predict(columns(parts[1]))[0]
    assert calibration_error(p, parts[1]) * parts[1].rate < 0.015
    assert np.abs(p - truth[1::3]).mean() < 0.03
    line = fit_logistic(parts[0])
    assert line.weights[0] / line.deviation[0] == pytest.approx(1.5, rel=0.1)
    assert np.abs(line.predict(columns(parts[1])) - truth[1::3]).mean() < 0.02


def test_a_missing_value_tells_even_from_the_lowest() -> None:
    random = np.random.default_rng(0)
    x = random.integers(0, 3, (4_000, 2)).astype(np.float32)
    x[::2, 0] = np.nan
    y = np.where(np.isnan(x[:, 0]), random.random(4_000) < 0.6, random.random(4_000) < 0.1)
    rows = TrainingRows(x, y.astype(np.float32), np.ones(4_000, np.float32), np.arange(4_000, dtype=np.int32))
    probe = np.array([[np.nan, 0, 2, np.inf, -np.inf], [1, 1, 1, 1, 1]], np.float32)
    p = fit_trees([rows], BoostingConfig(objective="logistic", trees=60, depth=2)).predict(probe)[0]
    assert p[:4] == pytest.approx([0.6, 0.1, 0.1, 0.1], abs=0.05)
    assert p[4] == p[0]  # minus infinity is as little greater than anything as a missing value
    line = fit_logistic(rows).predict(np.full((2, 1), np.nan, np.float32))
    assert line == pytest.approx([rows.rate], abs=0.02)


def test_the_same_seed_gives_the_same_model_on_any_number_of_threads(train: TrainingRows) -> None:
    config = replace(SMALL, row_sample=0.5, trees=5)
    models = [fit_trees([train], config, threads=threads).arrays() for threads in (1, 3)]
    for name, values in models[0].items():
        assert values.tobytes() == models[1][name].tobytes()
    other = fit_trees([train], replace(config, seed=1))
    assert other.arrays()["leaves"].tobytes() != models[0]["leaves"].tobytes()


@pytest.mark.parametrize("objective", ["logistic", "listwise"])
def test_a_row_of_weight_three_is_three_rows(objective: Literal["logistic", "listwise"]) -> None:
    random = np.random.default_rng(2)
    x = random.integers(0, 4, (900, 2)).astype(np.float32)
    y = (random.random(900) < 0.1 + 0.2 * x[:, 0]).astype(np.float32)
    weight = np.where(y == 0, random.integers(1, 4, 900), 1).astype(np.float32)
    group = np.arange(900, dtype=np.int32) // 30
    copies = weight.astype(np.int64)
    heavy = TrainingRows(x, y, weight, group)
    ones = np.ones(int(copies.sum()), np.float32)
    many = TrainingRows(np.repeat(x, copies, axis=0), np.repeat(y, copies), ones, np.repeat(group, copies))
    config = BoostingConfig(objective=objective, trees=10, depth=2, l2=1e-6)
    probe = np.array([[0, 1, 2, 3], [0, 1, 2, 3]], np.float32)
    one, other = (fit_trees([rows], config).predict(probe) for rows in (heavy, many))
    assert one == pytest.approx(other, abs=1e-3)


@pytest.mark.parametrize("share", [None, 0.4])
def test_each_level_takes_the_border_that_lowers_the_loss_most(share: float | None) -> None:
    """Against sums over all rows of every leaf; the kernel sums one of two leaves, and takes the other from what was."""
    random, bins, l2 = np.random.default_rng(4), 16, 2.0
    x = random.normal(size=(3_000, 7)).astype(np.float32)
    slopes, curves = x[:, 1] * np.sign(x[:, 4]) + np.sin(3 * x[:, 6]) + random.normal(size=3_000), random.random(3_000)
    cuts = [borders(column, bins) for column in x.T]
    chosen = None if share is None else np.flatnonzero(random.random(3_000) < share)
    with ThreadPoolExecutor(2) as pool:
        binned = quantise(x, cuts, pool)
        tree = Grower(binned, cuts, 6, bins, l2, pool).grow(slopes, curves, chosen)
    rows = np.arange(3_000) if chosen is None else chosen
    leaf, g, h = np.zeros(len(rows), np.int64), slopes[rows], curves[rows]

    def gain(split: NDArray[np.int64]) -> float:
        return float((np.bincount(split, g) ** 2 / (np.bincount(split, h) + l2)).sum())

    for feature, border in zip(tree.features, tree.borders, strict=True):
        gains = {(one, cut): gain(2 * leaf + (binned[one][rows] > cut)) for one in range(7) for cut in range(len(cuts[one]))}
        assert gains[feature, border] == pytest.approx(max(gains.values()), rel=1e-6)
        leaf = 2 * leaf + (binned[feature][rows] > border)


@pytest.mark.parametrize("depth", [1, 3, 5, 8])
def test_raw_values_fall_in_the_leaves_of_their_bins(depth: int, train: TrainingRows) -> None:
    model = fit_trees([train], replace(SMALL, depth=depth, trees=7, objective="logistic"))
    probe = np.array(columns(train))
    cuts = [borders(column, SMALL.bins) for column in probe]
    probe[:, :3] = np.nan, np.inf, -np.inf
    for feature, cut in enumerate(cuts):  # values on the borders themselves
        probe[feature, 3 : 3 + len(cut)] = cut
    with ThreadPoolExecutor(2) as pool:
        binned = quantise(probe.T, cuts, pool)
    below = [np.where(np.isnan(row), 0, np.searchsorted(cut, row)) for cut, row in zip(cuts, probe, strict=True)]
    np.testing.assert_array_equal(binned, below)
    slope, intercept = model.calibration[0]
    margin = np.zeros(probe.shape[1], np.float64)
    for features, thresholds, leaves in zip(model.features, model.thresholds, model.leaves[0], strict=True):
        number = np.zeros(probe.shape[1], np.int64)
        for feature, threshold in zip(features, thresholds, strict=True):
            bit = binned[feature] > np.searchsorted(cuts[feature], threshold)
            number = 2 * number + bit
        margin += leaves[number]
    expected = expit(slope * margin + intercept)
    np.testing.assert_allclose(model.predict(probe)[0].astype(np.float64), expected, rtol=1e-5)


def test_a_score_does_not_depend_on_the_other_candidates(fitted: ObliviousTrees, held_out: TrainingRows) -> None:
    probe = np.ascontiguousarray(columns(held_out)[:, : 2 * BLOCK + 77])
    together = fitted.predict(probe)
    for i in (0, BLOCK - 1, BLOCK, 2 * BLOCK + 76):
        assert fitted.predict(probe[:, i : i + 1])[0, 0] == together[0, i]
    assert (fitted.predict(np.asfortranarray(probe)) == together).all()
    assert fitted.predict(probe[:, :0]).shape == (1, 0)


def test_models_survive_a_file_and_a_read_only_map(tmp_path: Path, fitted: ObliviousTrees, train: TrainingRows) -> None:
    probe = columns(train)
    probe.setflags(write=False)
    for model in (fitted, fit_logistic(train)):
        for name, values in model.arrays().items():
            np.save(tmp_path / f"{name}.npy", values)
        loaded = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in model.arrays()}
        again = type(model).from_arrays(loaded)
        assert (again.predict(probe) == model.predict(probe)).all()
        loaded.popitem()
        with pytest.raises(NearlineError, match=r"add |train again"):
            type(model).from_arrays(loaded)


def test_features_that_say_nothing_give_the_rate(train: TrainingRows) -> None:
    flat = replace(train, x=np.ones((len(train.y), 3), np.float32))
    flat.x[:, 2] = np.nan
    probe = columns(flat)[:, :9]
    for config in (SMALL, replace(SMALL, objective="logistic")):
        assert fit_trees([flat], config).predict(probe)[0] == pytest.approx(train.rate, rel=1e-4)
    assert fit_logistic(flat).predict(probe) == pytest.approx(train.rate, rel=1e-3)


def test_weights_count_as_repetitions(train: TrainingRows) -> None:
    thrice = np.repeat(np.arange(len(train.y)), np.where(np.arange(len(train.y)) % 2, 3, 1))
    weight = np.where(np.arange(len(train.y)) % 2, 3, 1).astype(np.float32)
    ones = np.ones(len(thrice), np.float32)
    repeated = TrainingRows(train.x[thrice], train.y[thrice], ones, train.group[thrice])
    weighted = replace(train, weight=weight)
    score = np.nan_to_num(train.x[:, 3]).astype(np.float64)
    assert calibrate(score, weighted) == pytest.approx(calibrate(score[thrice], repeated), rel=1e-3)
    assert weighted.rate == pytest.approx(repeated.rate)
    shown = fit_trees([weighted], replace(SMALL, objective="logistic")).predict(columns(train))[0]
    assert shown.mean() != pytest.approx(train.rate, rel=1e-3)
    assert float(np.average(shown, weights=weight)) == pytest.approx(weighted.rate, rel=0.02)


def test_rows_one_cannot_learn_from_are_refused(train: TrainingRows, fitted: ObliviousTrees) -> None:
    zeros = np.zeros_like(train.y)
    for change, words in (
        ({"y": zeros}, "y = 'all 0'"),
        ({"y": zeros + 1}, "y = 'all 1'"),
        ({"weight": zeros}, "y = 'all 0'"),
        ({"y": zeros + np.float32(0.5)}, "label each row 0 or 1"),
        ({"weight": zeros - 1}, "weight"),
        ({"group": train.group[::-1]}, "sort the rows"),
        ({"x": train.x[1:]}, "one value for each"),
        ({"x": train.x[:, :0]}, "at least one"),
    ):
        with pytest.raises(NearlineError, match=words):
            replace(train, **change)
    alone = replace(train, group=np.arange(len(train.y), dtype=np.int32))
    with pytest.raises(NearlineError, match="lists of one label"):
        fit_trees([alone], SMALL)
    with pytest.raises(NearlineError, match="training features"):
        fit_trees([train], SMALL, [replace(train, x=train.x[:, :2])])
    with pytest.raises(NearlineError, match=r"boosting\.depth = 9"):
        replace(SMALL, depth=9)
    with pytest.raises(NearlineError, match="at least"):
        fitted.predict(columns(train)[:2])
    two = np.ones(2, np.float32)
    line = LogisticModel(two, two, two, two)
    with pytest.raises(NearlineError, match="columns"):
        line.predict(columns(train))
