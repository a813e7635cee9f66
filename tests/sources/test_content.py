"""The content index follows the catalogue beside the requests."""

from __future__ import annotations

import numpy as np
import pytest
from test_source_contract import ITEMS, NOW, made

from nearline.schema.item import Item
from nearline.sources import indexing
from nearline.sources.content import DEPTH, KNOWN, ContentSource


def test_an_item_added_while_serving_is_soon_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "PAUSE", 0.0)
    source, world = made(ContentSource)
    source.bind(world, {})
    asked = world.item_slots(np.array([world.columns.key[3]], np.uint64))
    twin = Item("twin", "Twin", ITEMS[3].category, ITEMS[3].brand, 1.0, ITEMS[3].tags)
    world.catalog.put([twin])
    slot = world.catalog.slot("twin")
    assert slot not in source.like(asked, 200).items.tolist()
    source.renew(NOW)
    assert source.like(asked, 200).because[0] == asked[0]


def test_requests_between_two_indexings_are_served_by_the_old_one() -> None:
    source, world = made(ContentSource)
    world.catalog.put([Item("twin", "Twin", ITEMS[3].category, ITEMS[3].brand, 1.0, ITEMS[3].tags)])
    asked = np.array([3], np.int32)
    source.renew(NOW)
    found = source.like(asked, 200).items.tolist()
    assert found
    assert world.catalog.slot("twin") not in found


def test_what_nobody_knows_yet_has_places_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "PAUSE", 0.0)
    source, world = made(ContentSource)
    source.bind(world, {})
    world.catalog.put([Item(f"crowd-{n}", "", "Crowd", "", 1.0, ()) for n in range(300)])
    source.renew(NOW)
    asked = np.array([world.catalog.slot("crowd-7")], np.int32)
    found = set(source.like(asked, 400).items.tolist())
    crowd = [world.catalog.slot(f"crowd-{n}") in found for n in range(300)]
    assert sum(crowd) >= DEPTH - 1
    assert sum(crowd[:KNOWN]) >= KNOWN - 1
    assert all(crowd[-(DEPTH - KNOWN) :])
