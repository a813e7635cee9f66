"""The closed forms of EASE and of its directed sister against what they stand for."""

from __future__ import annotations

import numpy as np
from test_source_contract import ITEMS, NOW, history, made, scores, touched

from nearline.schema.components import FitData
from nearline.schema.event import Role
from nearline.schema.ids import key
from nearline.sources.ease import EaseSource, NextEaseSource
from nearline.sources.neighbours import histories

KEYS = np.array([key(item.item_id) for item in ITEMS], np.uint64)


def test_ease_is_the_ridge_regression_of_each_item_on_the_others() -> None:
    data = FitData(history(900, users=40), KEYS, NOW, 1)
    past = histories(data)
    n = len(past.keys)
    x = np.zeros((len(past.starts) - 1, n))
    np.add.at(x, (np.repeat(np.arange(len(x)), np.diff(past.starts)), past.items), past.values.astype(float))
    arrays = EaseSource(neighbours=n, regularization=5.0, window=1000).fit(data)
    model = np.zeros((n, n))
    np.put_along_axis(model, arrays["neighbours"].astype(np.intp), arrays["weights"].astype(float), 1)
    # Each item apart: the others explain it, by plain least squares with a ridge.
    for target in range(0, n, 17):
        others = np.arange(n) != target
        ridge = np.linalg.solve(x[:, others].T @ x[:, others] + 5.0 * np.eye(n - 1), x[:, others].T @ x[:, target])
        assert np.allclose(model[others, target], ridge, atol=2e-3)
        assert model[target, target] == 0.0


def test_what_comes_after_is_not_what_came_before() -> None:
    # Everyone goes 1, 2, 3; some time later 50.
    steps = [(f"walker-{n}", item, 2) for n in range(40) for item in (1, 2, 3, 50)]
    steps += [(f"other-{n}", (7 * n + 11 * m) % 100 + 10, 2) for n in range(60) for m in range(6)]
    events = touched([*steps, ("someone", 2, 2)], offset=0)
    source, world = made(NextEaseSource, events)
    found = scores(source, world, "someone")
    assert max(found, key=lambda item: found[item]) == 3
    assert found[3] > 2 * found.get(1, 0.0)
    assert found[3] > found[50]
    plain, world = made(EaseSource, events)
    both = scores(plain, world, "someone")
    assert abs(both[1] - both[3]) < 0.05 * both[1]


def test_a_dislike_speaks_against() -> None:
    steps = [(f"fan-{n}", item, 2) for n in range(20) for item in (1, 2, 3)]
    steps += [(f"foe-{n}", item, place) for n in range(10) for item, place in ((1, 2), (2, 4), (3, 2))]
    for kind in (EaseSource, NextEaseSource):
        source, world = made(kind, touched([*steps, ("someone", 1, 2)], offset=0))
        found = scores(source, world, "someone")
        assert found.get(2, 0.0) < 0.8 * found[3]


def test_touches_of_one_item_in_a_row_are_one() -> None:
    events = touched([("a", 5, 1), ("a", 5, 2), ("a", 5, 3), ("a", 6, 1), ("b", 6, 1), ("a", 5, 4)])
    events["role"][1] = Role.EXPOSURE
    past = histories(FitData(events, KEYS, NOW, 1))
    assert np.diff(past.starts).tolist() in ([3, 1], [1, 3])
    weights = np.sign(past.values) * past.values**2 / past.values.min() ** 2
    ours = slice(0, 3) if past.starts[1] == 3 else slice(1, 4)
    assert np.allclose(weights[ours], [9 / 5, 1 / 5, -1.0])


def test_a_large_catalogue_is_left_alone() -> None:
    source = EaseSource()
    source.largest = 100
    assert source.fit(FitData(history(), KEYS, NOW, 1)) == {}
