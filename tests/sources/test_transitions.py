"""The closed form of transitions against the regression that it stands for."""

from __future__ import annotations

import numpy as np
from test_source_contract import ITEMS, NOW, history, made, scores, touched

from nearline.schema.components import FitData
from nearline.schema.ids import key
from nearline.schema.query import Query
from nearline.sources.neighbours import histories, sampled
from nearline.sources.transitions import TransitionSource

KEYS = np.array([key(item.item_id) for item in ITEMS], np.uint64)


def test_it_is_the_ridge_regression_of_each_event_on_the_near_and_the_far_past() -> None:
    data = FitData(history(700, users=40), KEYS, NOW, 1)
    past = histories(data)
    n, ridge = len(past.keys), 5.0
    windows = ((2, 0.5, 1.0), (6, 0.9, 0.4))
    before, after = [], []
    for start, end in zip(past.starts[:-1], past.starts[1:], strict=True):
        for at in range(start + 1, end):
            row = np.zeros((2, n))
            for window, (width, decay, share) in enumerate(windows):
                for lag in range(min(width, at - start)):
                    row[window, past.items[at - 1 - lag]] += share * decay**lag * past.values[at - 1 - lag]
            before.append(row.reshape(-1))
            after.append(past.values[at] * np.eye(n)[past.items[at]])
    x, y = np.array(before), np.array(after)
    expected = np.linalg.solve(x.T @ x + ridge * np.eye(2 * n), x.T @ y).reshape(2, n, n)
    source = TransitionSource(regularization=ridge, near=2, near_decay=0.5, far=6, far_decay=0.9, share=0.4)
    arrays = source.fit(data)
    assert np.allclose(arrays["model"] * arrays["units"][..., None], expected, atol=1e-4)
    assert np.abs(expected).max(axis=(1, 2)).min() > 0.05


def test_what_it_tells_is_what_it_finds_by_and_both_windows_add_up() -> None:
    source, world = made(TransitionSource, history())
    found = scores(source, world, "user-3")
    assert len(found) > 10
    visitor = key("user-3")
    query, user = Query(visitor, NOW), world.hydrate(visitor, NOW)
    retrieved = source.fetch(query, user, 50)
    out = np.empty((3, len(retrieved.items)), np.float32)
    source.tell(query, user, retrieved.items, out)
    assert np.allclose(out[0], retrieved.scores, rtol=1e-4)
    assert np.allclose(out[1] + out[2], out[0], atol=1e-5)
    assert np.abs(out[1:]).max(axis=1).min() > 0


def test_the_last_step_counts_most_and_only_forwards() -> None:
    # Everyone goes 1, 2, 3; some time later 50.
    steps = [(f"walker-{n}", item, 2) for n in range(40) for item in (1, 2, 3, 50)]
    steps += [(f"other-{n}", (7 * n + 11 * m) % 100 + 10, 2) for n in range(60) for m in range(6)]
    source, world = made(TransitionSource, touched([*steps, ("someone", 2, 2)], offset=0))
    found = scores(source, world, "someone")
    assert max(found, key=lambda item: found[item]) == 3
    assert found[3] > 2 * found.get(1, 0.0)


def test_many_events_are_a_sample_of_visitors_whole_histories_each() -> None:
    past = histories(FitData(history(700, users=40), KEYS, NOW, 1))
    some = sampled(past, 8, 2000, 1)
    lengths, kept = np.diff(past.starts), np.diff(some.starts)
    assert 0 < len(kept) < len(lengths)
    assert (np.minimum(kept, 8) * kept).sum() <= 2000
    assert set(kept.tolist()) <= set(lengths.tolist())


def test_a_large_catalogue_is_left_alone() -> None:
    source, said = TransitionSource(), list[str]()
    source.largest = 100
    assert source.fit(FitData(history(), KEYS, NOW, 1, say=said.append)) == {}
    assert "transitions left out" in said[0]
