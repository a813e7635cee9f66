"""Calibration, freshness and the popularity penalty: what each does to a list."""

from __future__ import annotations

import numpy as np
import pytest

from nearline.features.history import HistoryFold
from nearline.features.popularity import PopularityFold
from nearline.rerank.calibration import CalibrationRule
from nearline.rerank.freshness import FreshnessRule
from nearline.rerank.popularity_penalty import PopularityPenalty
from nearline.schema.candidates import F32, Candidates, Ranked
from nearline.schema.clock import DAY, HOUR
from nearline.schema.event import Role, empty_events
from nearline.schema.ids import key
from nearline.schema.item import Item
from nearline.schema.query import Query
from nearline.stores.catalog import Catalog
from nearline.stores.state import MemoryState
from nearline.stores.world import OnlineWorld

NOW = 1_700_000_000_000


def world_of(items: list[Item]) -> OnlineWorld:
    state = MemoryState([HistoryFold(), PopularityFold()])
    world = OnlineWorld(state, Catalog(state))
    world.catalog.put(items)
    return world


def touch(world: OnlineWorld, *items: str, user: int = 7) -> None:
    events = empty_events(len(items))
    events["offset"], events["ts"], events["user"] = np.arange(len(items)) + world.offset, NOW - HOUR, user
    events["item"], events["kind"], events["role"], events["weight"] = [key(item) for item in items], 1, Role.CLICK, 1000
    world.apply(events)


def candidates(n: int) -> Candidates:
    none = np.zeros((n, 1), np.float32)
    return Candidates(np.arange(n, dtype=np.int32), none, none, np.zeros(n, np.int32), np.full(n, -1, np.int32))


def scores(n: int) -> F32:
    return np.linspace(1, 0.1, n, dtype=np.float32)


def test_a_calibrated_list_has_the_mix_of_its_visitor() -> None:
    """Steck's example: seven romances and three action films seen, and a ranker that would show romance alone."""
    romance, action = (
        [Item(f"r{n}", category="Romance > Drama") for n in range(40)],
        [Item(f"a{n}", category=f"Action > Kind {n % 4}") for n in range(20)],
    )
    world = world_of([*romance, *action, Item("other", category="News")])
    touch(world, *(f"r{n}" for n in range(30, 37)), *(f"a{n}" for n in range(15, 18)))
    ranked = Ranked(candidates(61), scores(61))

    def shares(trade: float, visitor: int = 7, size: int = 10) -> list[str]:
        rule = CalibrationRule(trade)
        rule.bind(world)
        places = rule.arrange(Query(visitor, NOW), world.hydrate(visitor, NOW), ranked, size).tolist()
        assert sorted(places) == list(range(61))
        return [world.catalog.ids[slot][0] for slot in places[:size]]

    assert shares(0.0) == ["r"] * 10
    for size in (10, 20):
        mixed = shares(0.99, size=size)
        assert mixed.count("a") == pytest.approx(0.3 * size, abs=1)
        assert mixed.count("o") == 0
        assert mixed[0] == "r", "the ranker's first is of the greater share"
    assert shares(0.9, visitor=8) == ["r"] * 10, "who has no history gets the ranking"
    # Within a category, the ranking stays.
    rule = CalibrationRule(0.9)
    rule.bind(world)
    places = rule.arrange(Query(7, NOW), world.hydrate(7, NOW), ranked, 10)[:10]
    assert all(np.diff(places[places < 40]) > 0)
    assert all(np.diff(places[places >= 40]) > 0)
    held = np.zeros(61, np.bool_)
    held[[0, 1, 2, 9]] = True
    held_places = rule.arrange(Query(7, NOW), world.hydrate(7, NOW), Ranked(candidates(61), scores(61), held=held), 10)
    assert [place for place in held_places[:10].tolist() if place in (0, 1, 2, 9)] == [0, 1, 2, 9]
    assert held_places[9] == 9


def test_new_arrivals_are_boosted_by_half_a_half_life_later() -> None:
    ages = [0, 7 * DAY, 70 * DAY, -DAY]
    world = world_of([Item(f"i{n}", created_at=NOW - age) for n, age in enumerate(ages)] + [Item("unknown")])
    rule = FreshnessRule(boost=0.5, half_life_days=7)
    rule.bind(world)
    given = np.array([1, 1, 1, 1, 1], np.float32)
    found = rule.adjust(Query(1, NOW), world.hydrate(1, NOW), candidates(5), given)
    assert found.tolist() == pytest.approx([1.5, 1.25, 1 + 0.5 / 1024, 1.0, 1.0])
    assert rule.adjust(Query(1, NOW), world.hydrate(1, NOW), candidates(5), -given)[0] == pytest.approx(-0.5), "up it is"
    assert given.tolist() == [1] * 5


def test_the_most_popular_loses_the_stated_share_and_the_unknown_nothing() -> None:
    world = world_of([Item("hit"), Item("known"), Item("unknown")])
    rule = PopularityPenalty(0.2)
    rule.bind(world)
    given = np.array([1, 1, 1], np.float32)
    assert rule.adjust(Query(1, NOW), world.hydrate(1, NOW), candidates(3), given).tolist() == [1, 1, 1]
    touch(world, *["hit"] * 99, *["known"] * 9)
    found = rule.adjust(Query(1, NOW), world.hydrate(1, NOW), candidates(3), given)
    assert found[0] == pytest.approx(0.8)
    assert found[1] == pytest.approx(0.9, abs=0.01)
    assert found[2] == 1.0
