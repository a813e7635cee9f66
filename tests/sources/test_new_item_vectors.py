"""Items that come after training: where their attributes and their first visitors put them."""

from __future__ import annotations

import numpy as np
from test_source_contract import APP, ITEMS, NOW, history, touched

from nearline.features.suppression import SuppressionLists
from nearline.schema.components import FitData
from nearline.schema.ids import key, keys
from nearline.schema.item import Item
from nearline.schema.query import Query
from nearline.sources.als import AlsSource
from nearline.stores.catalog import Catalog
from nearline.stores.state import MemoryState
from nearline.stores.world import OnlineWorld


def trained() -> tuple[AlsSource, OnlineWorld]:
    """A release of users who keep to their aisles, and the world that it serves."""
    source = AlsSource(factors=16)
    state = MemoryState(source.folds, [SuppressionLists(APP.kinds()), *source.state])
    world = OnlineWorld(state, Catalog(state))
    world.catalog.put(ITEMS)
    world.apply(history())
    source.bind(world, source.fit(FitData(history(), keys(item.item_id for item in ITEMS), NOW, 1)))
    return source, world


def place_of(source: AlsSource, world: OnlineWorld, user: str, item: str) -> int:
    """The place of an item in a user's list, from 0; 999 where it is not there."""
    found = source.fetch(Query(key(user), NOW), world.hydrate(key(user), NOW), 200)
    at = np.flatnonzero(world.columns.key[found.items] == key(item))
    return int(at[0]) if len(at) else 999


def test_on_the_day_it_arrives_an_item_is_where_its_attributes_put_it() -> None:
    source, world = trained()
    world.catalog.put(
        [Item("new", "a new thing", "Shop > Aisle 3", "brand-1"), Item("odd", "nothing like it", "Elsewhere > X")]
    )
    assert place_of(source, world, "user-3", "new") == 999
    source.renew(NOW)
    liked = [place_of(source, world, f"user-{n}", "new") for n in range(3, 60, 7)]
    others = [place_of(source, world, f"user-{n}", "new") for n in range(4, 60, 7)]
    assert np.median(liked) < 30
    assert np.median(liked) < 0.5 * np.median(others)
    assert place_of(source, world, "user-3", "odd") == 999
    # And who clicked nothing else is asked with it.
    world.apply(touched([("fresh", 3, 2)], offset=20_000))
    click = touched([("newcomer", 3, 2)], offset=20_001)
    click["item"] = key("new")
    world.apply(click)
    found = source.fetch(Query(key("newcomer"), NOW), world.hydrate(key("newcomer"), NOW), 10)
    aisles = [
        int(item_id.split("-")[1]) % 7 for slot in found.items if (item_id := world.catalog.ids[slot]).startswith("item-")
    ]
    assert aisles.count(3) >= 7


def test_its_first_visitors_move_it() -> None:
    source, world = trained()
    # Its words say aisle 3, but those of aisle 5 come.
    world.catalog.put([Item("new", "a new thing", "Shop > Aisle 3")])
    source.renew(NOW)
    before = [np.median([place_of(source, world, f"user-{n}", "new") for n in range(aisle, 50, 7)]) for aisle in (3, 5)]
    clicks = touched([(f"user-{n}", 3, 2) for n in range(5, 60, 7)], offset=20_000)
    clicks["item"] = key("new")
    world.apply(clicks)
    source.renew(NOW)
    after = [np.median([place_of(source, world, f"user-{n}", "new") for n in range(aisle, 50, 7)]) for aisle in (3, 5)]
    assert before[0] < before[1]
    assert after[1] < after[0]
    assert after[1] < 30


def test_a_release_without_the_regression_serves_as_before() -> None:
    source, world = trained()
    arrays = source.fit(FitData(history(), keys(item.item_id for item in ITEMS), NOW, 1))
    del arrays["lift"]
    source.bind(world, arrays)
    world.catalog.put([Item("new", "a new thing", "Shop > Aisle 3")])
    source.renew(NOW)
    assert place_of(source, world, "user-3", "item-3") < 999
    assert place_of(source, world, "user-3", "new") == 999
