"""The closed form of EASE with order against what it stands for."""

from __future__ import annotations

import numpy as np
from test_source_contract import ITEMS, NOW, history, made, scores, touched

from nearline.schema.components import FitData
from nearline.schema.event import Role
from nearline.schema.ids import key
from nearline.sources.ease import EaseSource
from nearline.sources.neighbours import histories

KEYS = np.array([key(item.item_id) for item in ITEMS], np.uint64)


def test_it_is_the_ridge_regression_of_each_event_on_what_surrounds_it() -> None:
    data = FitData(history(700, users=40), KEYS, NOW, 1)
    past = histories(data)
    n, fade, together, ridge = len(past.keys), 0.7, 0.2, 5.0
    target, gram = np.zeros((n, n)), np.zeros((n, n))
    for start, end in zip(past.starts[:-1], past.starts[1:], strict=True):
        for p in range(start, end):
            gram[past.items[p], past.items[p]] += (1 + together) * past.values[p] ** 2
            for q in range(p + 1, end):
                i, j, value = past.items[p], past.items[q], past.values[p] * past.values[q]
                target[i, j] += (fade ** (q - p) + together) * value
                target[j, i] += together * value
                gram[i, j] += (fade ** (q - p) + together) * value
                gram[j, i] += (fade ** (q - p) + together) * value
    expected = np.linalg.solve(gram + ridge * np.eye(n), target)
    np.fill_diagonal(expected, 0.0)
    arrays = EaseSource(regularization=ridge, fade=fade, together=together).fit(data)
    assert np.allclose(arrays["model"][0] * arrays["units"][0][:, None], expected, atol=1e-4)
    assert np.abs(expected).max() > 0.2


def test_what_comes_after_is_not_what_came_before() -> None:
    # Everyone goes 1, 2, 3; some time later 50.
    steps = [(f"walker-{n}", item, 2) for n in range(40) for item in (1, 2, 3, 50)]
    steps += [(f"other-{n}", (7 * n + 11 * m) % 100 + 10, 2) for n in range(60) for m in range(6)]
    events = touched([*steps, ("someone", 2, 2)], offset=0)
    source, world = made(EaseSource, events)
    found = scores(source, world, "someone")
    assert max(found, key=lambda item: found[item]) == 3
    assert found[3] > 2 * found.get(1, 0.0)
    assert found[3] > found[50]


def test_a_dislike_speaks_against() -> None:
    steps = [(f"fan-{n}", item, 2) for n in range(20) for item in (1, 2, 3)]
    steps += [(f"foe-{n}", item, place) for n in range(10) for item, place in ((1, 2), (2, 4), (3, 2))]
    source, world = made(EaseSource, touched([*steps, ("someone", 1, 2)], offset=0))
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
