"""What every source in the package keeps to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nearline.app.definition import App
from nearline.features.suppression import SuppressionLists
from nearline.pipeline.discovery import discover
from nearline.schema.clock import DAY, MINUTE
from nearline.schema.components import FitData
from nearline.schema.event import Events, empty_events
from nearline.schema.ids import key, key32
from nearline.schema.item import Item
from nearline.schema.query import Query
from nearline.stores.catalog import Catalog
from nearline.stores.state import MemoryState
from nearline.stores.world import OnlineWorld

SOURCES = discover("nearline.sources", ("name", "fetch"))
APP = App(events=["view", "click", "purchase", "dislike"])
NOW = 1_700_000_000_000
ITEMS = [
    Item(f"item-{n}", f"Item {n}", f"Shop > Aisle {n % 7}", f"brand-{n % 5}", 5.0 + n, (f"tag-{n % 3}",)) for n in range(120)
]


def history(n: int = 4000, users: int = 60, seed: int = 3) -> Events:
    """Events in which each user keeps to a few aisles."""
    random = np.random.default_rng(seed)
    events = empty_events(n)
    kinds = APP.kinds()
    user = random.integers(0, users, n)
    item = (random.integers(0, 18, n) * 7 + user % 7) % len(ITEMS)
    place = random.choice([1, 1, 1, 2, 2, 3], n)
    events["offset"] = np.arange(n)
    events["ts"] = NOW - (n - np.arange(n)) * MINUTE
    events["user"] = np.array([key(f"user-{u}") for u in range(users)], np.uint64)[user]
    events["item"] = np.array([key(i.item_id) for i in ITEMS], np.uint64)[item]
    events["category"] = np.array([key32(i.category) for i in ITEMS], np.uint32)[item]
    events["kind"], events["role"], events["weight"] = place, kinds.role[place], kinds.weight[place]
    return events


def made(kind: type[Any]) -> tuple[Any, OnlineWorld]:
    """A source fitted, fed and bound."""
    source = kind()
    state = MemoryState(source.folds, [SuppressionLists(APP.kinds()), *source.state])
    world = OnlineWorld(state, Catalog(state))
    world.catalog.put(ITEMS)
    events = history()
    world.apply(events)
    arrays = source.fit(FitData(events, np.array([key(i.item_id) for i in ITEMS], np.uint64), NOW, 1))
    source.bind(world, arrays)
    return source, world


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_fetches_different_known_items_best_first(name: str) -> None:
    source, world = made(SOURCES[name])
    for user in range(0, 60, 7):
        query = Query(key(f"user-{user}"), NOW)
        found = source.fetch(query, world.hydrate(query.visitor, NOW), 20)
        assert 0 < len(found.items) <= 20
        assert found.items.dtype == np.int32
        assert found.scores.dtype == np.float32
        assert found.because.dtype == np.int32
        assert len(found.items) == len(found.scores) == len(found.because)
        assert len(set(found.items.tolist())) == len(found.items)
        assert ((found.items >= 0) & (found.items < world.n_items)).all()
        assert np.isfinite(found.scores).all()
        assert (np.diff(found.scores) <= 1e-6).all()
        assert ((found.because >= -1) & (found.because < world.n_items)).all()
        again = source.fetch(query, world.hydrate(query.visitor, NOW), 20)
        assert again.items.tolist() == found.items.tolist()


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_a_stranger_gets_a_list_or_nothing_and_never_an_error(name: str) -> None:
    source, world = made(SOURCES[name])
    stranger = world.hydrate(key("nobody"), NOW)
    assert len(source.fetch(Query(key("nobody"), NOW), stranger, 10).items) <= 10
    on_page = Query(key("nobody"), NOW, item_id="item-3", surface="item")
    assert len(source.fetch(on_page, stranger, 10).items) <= 10
    assert len(source.fetch(Query(key("nobody"), NOW, item_id="no-such"), stranger, 10).items) <= 10


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_bound_to_nothing_it_returns_nothing(name: str) -> None:
    source = SOURCES[name]()
    state = MemoryState(source.folds, source.state)
    world = OnlineWorld(state, Catalog(state))
    source.bind(world, {})
    assert len(source.fetch(Query(1, NOW), world.hydrate(1, NOW), 10).items) == 0


def test_co_visitation_follows_the_next_click() -> None:
    source, world = made(SOURCES["covisit"])
    visitor = key("newcomer")
    assert len(source.fetch(Query(visitor, NOW), world.hydrate(visitor, NOW), 10).items) == 0
    click = history(1)
    click["offset"], click["ts"], click["user"] = 10_000, NOW, visitor
    world.apply(click)
    found = source.fetch(Query(visitor, NOW), world.hydrate(visitor, NOW), 10)
    assert len(found.items)
    assert set(world.columns.key[found.because].tolist()) == {int(click["item"][0])}


def test_trending_forgets() -> None:
    source, world = made(SOURCES["trending"])
    nobody = world.hydrate(1, NOW)
    top = source.fetch(Query(1, NOW), nobody, 5)
    later = source.fetch(Query(1, NOW + 2 * DAY), nobody, 5)
    assert later.scores[0] < top.scores[0] / 3
