"""What every rule in the package keeps to, and what each is for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nearline.features.suppression import SuppressionLists
from nearline.pipeline.discovery import discover
from nearline.rerank.category_breadth import CategoryBreadth
from nearline.rerank.category_cap import CategoryCap
from nearline.rerank.diversity import DiversityRule
from nearline.rerank.suppressed import SuppressedFilter
from nearline.schema.candidates import Arranged, Candidates, Ranked
from nearline.schema.clock import DAY
from nearline.schema.event import EventType, Suppression, empty_events
from nearline.schema.ids import key, key32
from nearline.schema.item import Item
from nearline.schema.kinds import Kinds
from nearline.schema.query import Query
from nearline.stores.catalog import Catalog
from nearline.stores.state import MemoryState
from nearline.stores.world import OnlineWorld

NOW = 1_700_000_000_000
KINDS = Kinds(
    [
        EventType("view", role="view"),
        EventType("purchase", role="conversion", suppresses=(Suppression("item"), Suppression("category", 30))),
    ]
)
FILTERS = discover("nearline.rerank", ("name", "keep"))
ARRANGEMENTS = discover("nearline.rerank", ("name", "arrange"))


def world_of(categories: list[str]) -> OnlineWorld:
    """Items item-0.. with these categories."""
    state = MemoryState([], [SuppressionLists(KINDS)])
    world = OnlineWorld(state, Catalog(state))
    world.catalog.put([Item(f"item-{n}", category=category, brand=f"b{n % 2}") for n, category in enumerate(categories)])
    return world


def candidates(n: int) -> Candidates:
    none = np.zeros((n, 1), np.float32)
    return Candidates(np.arange(n, dtype=np.int32), none, none, np.zeros(n, np.int32), np.full(n, -1, np.int32))


def ranked(n: int) -> Ranked:
    return Ranked(candidates(n), np.linspace(1, 0, n, dtype=np.float32))


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_filters_say_keep_or_drop_for_each(name: str) -> None:
    rule: Any = FILTERS[name]()
    world = world_of(["a"] * 8)
    rule.bind(world)
    keep = rule.keep(Query(1, NOW), world.hydrate(1, NOW), candidates(8))
    assert keep.dtype == np.bool_
    assert keep.tolist() == [True] * 8


@pytest.mark.parametrize("n", [0, 1, 3, 40, 300])
@pytest.mark.parametrize("name", sorted(ARRANGEMENTS))
def test_arrangements_return_different_places_and_enough(name: str, n: int) -> None:
    rule: Any = ARRANGEMENTS[name]()
    world = world_of([f"c{k % 3}" for k in range(max(n, 1))])
    rule.bind(world)
    places = rule.arrange(Query(1, NOW), world.hydrate(1, NOW), ranked(n), 20)
    if isinstance(places, Arranged):
        assert all(said is None or len(said) == len(places.places) for said in places)
        places = places.places
    assert len(places) >= min(n, 20)
    assert len(set(places.tolist())) == len(places)
    assert all(0 <= place < n for place in places.tolist())


def test_the_cap_holds_on_the_page_and_gives_way_where_nothing_else_is_left() -> None:
    world = world_of(["a"] * 30 + ["b"] * 3)
    rule = CategoryCap(5)
    rule.bind(world)
    places = rule.arrange(Query(1, NOW), world.hydrate(1, NOW), ranked(33), 8)
    assert places[:8].tolist() == [0, 1, 2, 3, 4, 30, 31, 32]
    assert sorted(places.tolist()) == list(range(33))


def test_diversity_trades_rank_for_difference_and_keeps_the_first() -> None:
    world = world_of(["a"] * 10 + ["b"] * 10)
    nobody = world.hydrate(1, NOW)
    plain, diverse = DiversityRule(0.0), DiversityRule(0.6)
    plain.bind(world)
    diverse.bind(world)
    assert plain.arrange(Query(1, NOW), nobody, ranked(20), 5).tolist()[:5] == [0, 1, 2, 3, 4]
    places = diverse.arrange(Query(1, NOW), nobody, ranked(20), 5).tolist()
    assert places[0] == 0
    assert any(place >= 10 for place in places[:3])


def test_after_a_washing_machine_no_washing_machines_for_a_month() -> None:
    world = world_of(["washers", "washers", "kettles"])
    rule = SuppressedFilter()
    rule.bind(world)
    bought = empty_events(1)
    bought["ts"], bought["user"], bought["item"], bought["kind"] = NOW, 7, key("item-0"), 2
    bought["category"] = key32("washers")
    world.apply(bought)

    def kept(visitor: int, now: int) -> list[bool]:
        found: list[bool] = rule.keep(Query(visitor, now), world.hydrate(visitor, now), candidates(3)).tolist()
        return found

    assert kept(7, NOW + DAY) == [False, False, True]
    assert kept(7, NOW + 31 * DAY) == [False, True, True]
    assert kept(8, NOW + DAY) == [True, True, True]


def test_a_list_has_its_categories_and_loses_the_lowest_places_for_them() -> None:
    world = world_of(["a"] * 12 + ["b"] * 3 + ["a"] * 5 + ["", "b", "c", "d", "d", "e", "f"])
    rule = CategoryBreadth(5)
    rule.bind(world)
    nobody = world.hydrate(1, NOW)
    places = rule.arrange(Query(1, NOW), nobody, ranked(27), 20).tolist()
    assert places[:20] == [*range(17), 22, 23, 25]
    assert places[20:] == [17, 18, 19, 20, 21, 24, 26]
    # What a rule holds stays; a shorter list needs fewer.
    held = replace(ranked(27), held=np.isin(np.arange(27), [15, 19]))
    assert rule.arrange(Query(1, NOW), nobody, held, 20).tolist()[:20] == [*range(16), 22, 23, 25, 19]
    assert rule.arrange(Query(1, NOW), nobody, ranked(27), 8).tolist()[:8] == [*range(7), 12]
    # What is alone in its category is not given up for another.
    alone = world_of(["a", "b", "c", "d"])
    rule = CategoryBreadth(40)
    rule.bind(alone)
    assert rule.arrange(Query(1, NOW), nobody, ranked(4), 2).tolist() == [0, 1, 2, 3]
