"""What goes with the cart: added or bought with it, within days, not instead of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from test_source_contract import ITEMS, NOW, made, touched

from nearline.schema.clock import DAY
from nearline.schema.ids import key
from nearline.schema.query import Query
from nearline.sources.complements import ComplementSource

CLICK, BUY = 2, 3


def test_the_cart_asks_for_what_is_bought_with_it_not_instead_of_it() -> None:
    # 0 goes with 1 and as often with 7, of its own aisle; many click 2 after it, and nobody buys that.
    steps = [(f"a-{n}", item, BUY) for n in range(5) for item in (0, 1)]
    steps += [(f"b-{n}", item, BUY) for n in range(5) for item in (0, 7)]
    steps += [(f"c-{n}", item, CLICK) for n in range(50) for item in (0, 2)]
    events = touched(steps, offset=0)
    source, world = made(ComplementSource, events)
    ids = world.catalog.ids

    def asked(**query: Any) -> list[str]:
        found = source.fetch(Query(1, NOW, **query), world.hydrate(1, NOW), 10)
        return [ids[slot] for slot in found.items.tolist()]

    assert asked(cart=("item-0",), surface="cart") == ["item-1", "item-7"]
    assert asked(item_id="item-0", surface="item") == ["item-1", "item-7"]
    assert asked(cart=("item-0", "item-1"), surface="cart") == ["item-7"]
    assert asked(surface="cart") == []
    buyer = world.hydrate(key("a-0"), NOW)
    assert "item-0" not in [ids[slot] for slot in source.fetch(Query(key("a-0"), NOW, surface="cart"), buyer, 10).items]


def test_what_is_bought_much_later_goes_with_nothing_before() -> None:
    steps = [(f"a-{n}", item, BUY) for n in range(5) for item in (0, 1)]
    events = touched(steps, offset=0)
    events["ts"][1::2] += 30 * DAY
    source, world = made(ComplementSource, events)
    found = source.fetch(Query(1, NOW, cart=("item-0",), surface="cart"), world.hydrate(1, NOW), 10)
    assert len(found.items) == 0


def test_the_tables_go_on_from_what_they_dumped() -> None:
    random = np.random.default_rng(5)
    steps = [(f"u-{random.integers(9)}", int(random.integers(len(ITEMS))), int(random.integers(1, 5))) for _ in range(400)]
    events = touched(steps, offset=0)
    whole, _ = made(ComplementSource, events)
    half, world = made(ComplementSource, events[:200])
    arrays = {name: array.copy() for name, array in half.tables.dump().items()}
    half.tables.load(arrays)
    world.apply(events[200:])
    for name, array in whole.tables.dump().items():
        assert np.array_equal(array, half.tables.dump()[name]), name
