"""A sample of visitors: the same ones on every day and engine, and about as many as was asked for."""

from __future__ import annotations

import numpy as np

from nearline.batch.interactions import InteractionCollector, Wanted
from nearline.schema.event import empty_events
from nearline.schema.ids import keys
from nearline.schema.interactions import drawn

USERS = keys(f"user-{n}" for n in range(10_000))


def test_a_sample_is_whole_visitors_and_smaller_ones_are_part_of_larger_ones() -> None:
    for seed in (0, 7, 2**32 - 1):
        tenth, half = drawn(USERS, 0.1, seed), drawn(USERS, 0.5, seed)
        assert abs(tenth.mean() - 0.1) < 0.015
        assert abs(half.mean() - 0.5) < 0.02
        assert half[tenth].all()
        assert drawn(USERS, 1.0, seed).all()
    assert 0.4 < (drawn(USERS, 0.5, 1) == drawn(USERS, 0.5, 2)).mean() < 0.6


def test_who_adds_up_interactions_himself_draws_the_same() -> None:
    events = empty_events(2 * len(USERS))
    events["user"], events["item"] = np.tile(USERS, 2), np.repeat(keys(["a", "b"]), len(USERS))
    events["ts"], events["kind"], events["role"], events["weight"] = 1, 2, 3, 1000
    collector = InteractionCollector(Wanted(0, 2, np.sort(keys(["a", "b"])), True, 0.25, 7))
    collector.take(events)
    assert np.unique(collector.sums()[0]).tolist() == np.sort(USERS[drawn(USERS, 0.25, 7)]).tolist()
