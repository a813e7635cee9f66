"""Metrics against figures worked out by hand and against brute force."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from nearline.batch import metrics
from nearline.batch.metrics import evaluate_lists
from nearline.batch.protocols import Case
from nearline.schema.errors import NearlineError


def case(*targets: str) -> Case:
    return Case("u", frozenset(targets), 0)


def test_by_hand() -> None:
    lists = [["a", "b", "c"], ["x", "y", "a"], ["q"], []]
    cases = [case("b"), case("a", "x", "z", "w"), case("a"), case("b", "c")]
    found = evaluate_lists(lists, cases, n_items=10, k=3)
    third = 1 + 1 / math.log2(3) + 0.5
    ndcg = [1 / math.log2(3), 1.5 / third, 0.0, 0.0]
    assert found.ndcg.mean == pytest.approx(sum(ndcg) / 4)
    assert found.hit_rate.mean == 0.5
    assert found.recall.mean == pytest.approx((1 + 2 / 3) / 4)  # min(3 places, 4 targets)
    assert found.precision.mean == pytest.approx((1 / 3 + 2 / 3) / 4)
    assert found.mrr.mean == pytest.approx((1 / 2 + 1) / 4)
    assert found.hit_rate.error == pytest.approx(math.sqrt(1 / 3) / 2)
    assert (found.cases, found.k, found.short) == (4, 3, 2)
    assert found.coverage == 0.6  # a b c x y q
    x = [0, 0, 0, 0, 1, 1, 1, 1, 1, 2]
    assert found.gini == pytest.approx(sum(abs(i - j) for i in x for j in x) / (2 * 10 * sum(x)))
    with pytest.raises(AttributeError):
        found.k = 4  # type: ignore[misc]
    assert msgspec.json.decode(msgspec.json.encode(found), type=metrics.Summary) == found


def test_lists_against_brute_force() -> None:
    random = np.random.default_rng(3)
    catalogue = [f"i{i}" for i in range(40)]
    for k in (1, 5, 10):
        lists = [list(random.choice(catalogue, random.integers(0, 15))) for _ in range(200)]  # repeats too
        cases = [case(*random.choice(catalogue, random.integers(1, 20))) for _ in range(200)]
        ndcg, recall, reciprocal = [], [], []
        for items, asked in zip(lists, cases, strict=True):
            wanted, gain, hits, first = set(asked.targets), 0.0, 0, 0.0
            for rank, item in enumerate(items[:k], 1):
                if item in wanted:
                    wanted.remove(item)
                    gain += 1 / math.log2(rank + 1)
                    hits += 1
                    first = first or 1 / rank
            best = min(k, len(asked.targets))
            ndcg.append(gain / sum(1 / math.log2(rank + 1) for rank in range(1, best + 1)))
            recall.append(hits / best)
            reciprocal.append(first)
        found = evaluate_lists(lists, cases, 40, k)
        assert found.ndcg.mean == pytest.approx(np.mean(ndcg))
        assert found.ndcg.error == pytest.approx(np.std(ndcg, ddof=1) / math.sqrt(200))
        assert found.recall.mean == pytest.approx(np.mean(recall))
        assert found.mrr.mean == pytest.approx(np.mean(reciprocal))
        assert 0 <= found.gini < 1


def test_a_perfect_list_has_one_everywhere() -> None:
    items = [f"i{i}" for i in range(10)]
    found = evaluate_lists([items, items], [case(*items), case(*items, "more", "still")], 10)
    for value in (found.hit_rate, found.ndcg, found.recall, found.precision, found.mrr):
        assert value.mean == pytest.approx(1.0)
        assert value.error == pytest.approx(0.0)
    assert (found.coverage, found.short) == (1.0, 0)
    assert found.gini == pytest.approx(0.0)


def test_auc_against_all_pairs() -> None:
    random = np.random.default_rng(5)
    for n in (2, 10, 300):
        scores = random.integers(0, 8, n) / 4.0  # ties
        labels = random.random(n) < 0.4
        labels[:2] = True, False
        pairs = [(a > b) + (a == b) / 2 for a in scores[labels] for b in scores[~labels]]
        assert metrics.auc(scores, labels) == pytest.approx(float(np.mean(pairs)))
    assert metrics.auc([1, 2, 3, 4], [0, 0, 1, 1]) == 1.0
    assert math.isnan(metrics.auc([1, 2], [1, 1]))


def test_ranks_errors_and_exposure() -> None:
    scores = [0.5, 0.9, 0.5, 0.1, 0.5]
    assert [metrics.tied_rank(scores, place) for place in range(5)] == [3.0, 1.0, 3.0, 5.0, 3.0]
    assert metrics.standard_error([1.0, 3.0]) == pytest.approx(1.0)
    assert math.isnan(metrics.standard_error([1.0]))
    assert metrics.gini([5], 100) == pytest.approx(0.99)
    assert metrics.gini([], 100) == 0.0
    assert metrics.coverage(["a", "a", "b"], 4) == 0.5


def test_what_can_not_be_measured_is_refused() -> None:
    with pytest.raises(NearlineError, match="one list"):
        evaluate_lists([["a"]], [case("a"), case("b")], 2)
    with pytest.raises(NearlineError, match="one list"):
        evaluate_lists([], [], 2)
    with pytest.raises(NearlineError, match="without targets") as caught:
        evaluate_lists([["a"], ["a"]], [case("a"), case()], 2)
    assert caught.value.index == 1
    with pytest.raises(NearlineError, match="n_items"):
        evaluate_lists([["a", "b"]], [case("a")], 1)
