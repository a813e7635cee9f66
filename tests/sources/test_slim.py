"""The sparse regression against what it stands for, and where it is learned at all."""

from __future__ import annotations

import numpy as np
from test_source_contract import ITEMS, NOW, history, made, scores, touched

from nearline.schema.components import FitData
from nearline.schema.ids import key
from nearline.sources.ease import EaseSource
from nearline.sources.neighbours import histories
from nearline.sources.slim import FAR, SlimSource

KEYS = np.array([key(item.item_id) for item in ITEMS], np.uint64)


def test_it_is_the_least_of_the_elastic_net_over_each_items_neighbours() -> None:
    data = FitData(history(700, users=40), KEYS, NOW, 1)
    past = histories(data)
    n, fade, together, ridge, lasso = len(past.keys), 0.7, 0.2, 5.0, 0.3
    target, gram = np.zeros((n, n)), np.zeros((n, n))
    for start, end in zip(past.starts[:-1], past.starts[1:], strict=True):
        for p in range(start, end):
            gram[past.items[p], past.items[p]] += (1 + together) * past.values[p] ** 2
            for q in range(p + 1, min(end, p + FAR + 1)):
                i, j, value = past.items[p], past.items[q], past.values[p] * past.values[q]
                target[i, j] += (fade ** (q - p) + together) * value
                target[j, i] += together * value
                if i != j:
                    gram[i, j] += (fade ** (q - p) + together) * value
                    gram[j, i] += (fade ** (q - p) + together) * value
    np.fill_diagonal(target, 0.0)
    source = SlimSource(neighbours=n, regularization=ridge, lasso=lasso, fade=fade, together=together, least=0)
    arrays = source.fit(data)
    model = np.zeros((n, n))
    np.put_along_axis(model, arrays["neighbours"].astype(np.intp), arrays["weights"].astype(float), 1)
    square = gram + ridge * np.eye(n)
    # The table says all weights over the largest; where one is above nothing the slope of what is minimised is nothing.
    scale = [((target[:, j] - lasso) @ w) / (w @ square @ w) for j in range(n) if (w := model[:, j]).any()]
    assert np.allclose(scale, np.median(scale), rtol=0.02)
    slope = square @ (model * np.median(scale)) - target + lasso
    np.fill_diagonal(slope, 0.0)
    assert np.abs(slope[model > 0]).max() < 0.1
    assert slope[model == 0].min() > -0.1
    assert 0.03 < (model > 0).mean() < 0.9


def test_it_answers_as_ease_does() -> None:
    ease, world = made(EaseSource, history())
    slim = SlimSource(least=0, regularization=300.0)
    slim.bind(world, slim.fit(FitData(history(), KEYS, NOW, 1)))
    shared = 0
    for user in range(60):
        heads = [
            sorted(one, key=lambda item: -one[item])[:10] for one in (scores(s, world, f"user-{user}") for s in (ease, slim))
        ]
        shared += len(set(heads[0]) & set(heads[1]))
    assert shared > 60 * 6


def test_what_comes_after_is_not_what_came_before() -> None:
    steps = [(f"walker-{n}", item, 2) for n in range(40) for item in (1, 2, 3, 50)]
    steps += [(f"other-{n}", (7 * n + 11 * m) % 100 + 10, 2) for n in range(60) for m in range(6)]
    events = touched([*steps, ("someone", 2, 2)], offset=0)
    _, world = made(EaseSource, events)
    source = SlimSource(least=0)
    source.bind(world, source.fit(FitData(events, KEYS, NOW, 1)))
    found = scores(source, world, "someone")
    assert max(found, key=lambda item: found[item]) == 3
    assert found[3] > 2 * found.get(1, 0.0)


def test_ease_and_slim_part_catalogues_between_them_and_say_so() -> None:
    said: list[str] = []
    data = FitData(history(), KEYS, NOW, 1, say=said.append)
    ease, slim = EaseSource(), SlimSource()
    assert [bool(source.fit(data)) for source in (ease, slim)] == [True, False]
    ease.largest = slim.least = 100
    assert [bool(source.fit(data)) for source in (ease, slim)] == [False, True]
    assert [line.split(" left out")[0] for line in said] == ["slim", "ease"]
    assert "120 items are touched" in said[1]
