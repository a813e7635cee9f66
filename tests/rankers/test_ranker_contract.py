"""What every ranker in the package keeps to, and a user's own ONNX file as well as any."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from nearline.batch.metrics import auc
from nearline.batch.reliability import reliability
from nearline.models.graph import Graph
from nearline.pipeline.discovery import discover
from nearline.rankers.network import NetworkRanker
from nearline.rankers.networks import COLUMNS, SCORES, Learning
from nearline.rankers.onnx_ranker import OnnxRanker
from nearline.schema.components import Examples, Ranker
from nearline.schema.errors import NearlineError

RANKERS = discover("nearline.rankers", ("name", "fit", "score"))
FEATURES = 9


def examples(seed: int, lists: int = 600) -> Examples:
    """Lists of 30: a click hangs on features and on a missing one, a purchase on a heavy tail, a return never is."""
    random = np.random.default_rng(seed)
    n = lists * 30
    x = random.normal(size=(n, FEATURES)).astype(np.float32)
    x[:, 2] = random.pareto(1.2, n)
    x[:, 3] = 7.0
    x[random.random(n) < 0.4, 4] = np.nan
    click = 1.5 * x[:, 0] + x[:, 1] + 1.2 * np.isnan(x[:, 4]) - 3.5
    purchase = 1.5 * np.log1p(x[:, 2]) - 5
    y = np.stack([random.random(n) < expit(click), random.random(n) < expit(purchase), np.zeros(n)], 1).astype(np.float32)
    group = np.repeat(np.arange(lists, dtype=np.int32), 30)
    return Examples(x, y, np.ones(n, np.float32), group, [f"f{i}" for i in range(FEATURES)], ["click", "purchase", "return"])


def columns(of: Examples) -> Any:
    return np.ascontiguousarray(of.x.T)


@pytest.fixture(scope="module", params=sorted(RANKERS))
def ranker(request: pytest.FixtureRequest) -> Ranker:
    made: Ranker = RANKERS[request.param]()
    if isinstance(made, NetworkRanker):
        made.learning = Learning(batch=512, epochs=8)
    made.load(made.fit(examples(1), 7))
    return made


def test_only_one_is_the_default() -> None:
    assert {name for name, kind in RANKERS.items() if getattr(kind, "default", True)} == {"trees"}
    assert {"cross", "logistic", "network", "trees"} <= set(RANKERS)


def test_it_learns_what_there_is_and_says_how_likely_it_is(ranker: Ranker) -> None:
    later = examples(2)
    p = ranker.score(columns(later))
    assert p.dtype == np.float32
    assert p.shape == (3, len(later.x))
    assert ((p >= 0) & (p <= 1)).all()
    for place, least in ((0, 0.80), (1, 0.68)):
        assert auc(p[place], later.y[:, place] > 0) > least
        assert reliability(p[place], later.y[:, place]).relative < 0.25
    assert not p[2].any()


def test_a_score_is_the_candidates_own_and_survives_what_is_missing(ranker: Ranker) -> None:
    probe = columns(examples(3, lists=40))
    together = ranker.score(probe)
    np.testing.assert_allclose(ranker.score(np.ascontiguousarray(probe[:, 7:8])), together[:, 7:8], rtol=1e-4, atol=1e-7)
    assert ranker.score(np.ascontiguousarray(probe[:, :0])).shape == (3, 0)
    wild = np.full((FEATURES, 4), np.nan, np.float32)
    wild[:, 1], wild[:, 2], wild[:, 3] = np.inf, -np.inf, 1e30
    assert np.isfinite(ranker.score(wild)).all()


def test_a_row_without_weight_teaches_nothing(ranker: Ranker) -> None:
    made, taught = type(ranker)(), examples(1)
    if isinstance(made, NetworkRanker):
        made.learning = Learning(batch=512, epochs=6)
    wrong = np.random.default_rng(0).random(len(taught.x)) < 0.4
    lied = replace(taught, y=np.where(wrong[:, None], 1 - taught.y, taught.y) * [1, 1, 0])
    made.load(made.fit(replace(lied, y=lied.y.astype(np.float32), weight=(~wrong).astype(np.float32)), 7))
    later = examples(2)
    p = made.score(columns(later))
    assert auc(p[0], later.y[:, 0] > 0) > 0.79
    assert p[0].mean() == pytest.approx(later.y[:, 0].mean(), rel=0.25)


def test_a_share_is_learned_as_one(ranker: Ranker) -> None:
    made, taught, later = type(ranker)(), examples(1), examples(2)
    if isinstance(made, NetworkRanker):
        made.learning = Learning(batch=512, epochs=8)

    def watched(of: Examples) -> Any:
        return expit(of.x[:, 0] + of.x[:, 1] - 1).astype(np.float32)

    y = np.stack([watched(taught), taught.y[:, 1], taught.y[:, 2]], 1)
    made.load(made.fit(replace(taught, y=y), 7))
    said, truth = made.score(columns(later))[0], watched(later)
    assert np.abs(said - truth).mean() < 0.06
    assert said.mean() == pytest.approx(truth.mean(), abs=0.02)


def test_the_same_seed_is_the_same_model(ranker: Ranker) -> None:
    taught = examples(1, lists=60)
    made = type(ranker)()
    one, other = made.fit(taught, 3), made.fit(taught, 3)
    assert one.keys() == other.keys()
    assert all(one[name].tobytes() == other[name].tobytes() for name in one)


def test_examples_that_teach_nothing_are_refused(ranker: Ranker) -> None:
    taught = examples(1, lists=20)
    with pytest.raises(NearlineError, match="examples"):
        type(ranker)().fit(replace(taught, y=np.zeros_like(taught.y)), 7)


def own_model(outcomes: int = 3, name: str = SCORES, scale: float = 1.0) -> bytes:
    """A model that says the second feature, squashed, for every outcome; missing is 0."""
    graph = Graph("own")
    x = graph.input(COLUMNS, (FEATURES, "n"))
    filled = graph.node("Where", graph.node("IsNaN", x), graph.weight(np.float32(0)), x)
    pick = np.zeros((outcomes, FEATURES), np.float32)
    pick[:, 1] = 1.0
    p = graph.sigmoid(graph.matmul(graph.weight(pick), filled))
    graph.output(name, graph.multiply(p, graph.weight(np.float32(scale))), (outcomes, "n"))
    return graph.build().tobytes()


def test_a_file_of_ones_own_ranks_and_what_does_not_fit_is_refused_with_a_remedy(tmp_path: Path) -> None:
    file, taught = tmp_path / "own.onnx", examples(4, lists=10)
    file.write_bytes(own_model())
    ranker = OnnxRanker(file)
    arrays = ranker.fit(taught, 0)
    file.unlink()  # the release has its own copy
    ranker.load(arrays)
    np.testing.assert_allclose(ranker.score(columns(taught))[2], expit(taught.x[:, 1]), rtol=1e-5)
    with pytest.raises(NearlineError, match="can be read"):
        OnnxRanker(file)
    for model, words in (
        (b"no model", "an ONNX model that ONNX Runtime opens"),
        (own_model(name="out"), "export it with the outputs scores"),
        (own_model(outcomes=2), "return float32"),
        (own_model(scale=3.0), "return probabilities"),
    ):
        file.write_bytes(model)
        with pytest.raises(NearlineError, match=words):
            OnnxRanker(file).fit(taught, 0)
