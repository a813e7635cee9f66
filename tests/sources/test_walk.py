"""Walks over who touched what: where they lead, why, and that they follow clicks and can be forgotten."""

from __future__ import annotations

import numpy as np
from test_source_contract import NOW, history, made, scores, touched

from nearline.schema.ids import key
from nearline.schema.query import Query
from nearline.sources.visits import VisitTables
from nearline.sources.walk import WalkSource

# Ten go 1, 2; ten others 2, 3; nobody has both 1 and 3. The rest of the catalogue is apart.
STEPS = [(f"first-{n}", item, 2) for n in range(10) for item in (1, 2)]
STEPS += [(f"then-{n}", item, 2) for n in range(10) for item in (2, 3)]
STEPS += [(f"other-{n}", (7 * n + 11 * m) % 100 + 10, 2) for n in range(60) for m in range(6)]


def test_walks_lead_where_no_two_events_of_one_visitor_do() -> None:
    source, world = made(WalkSource, touched([*STEPS, ("someone", 1, 2)], offset=0))
    found = scores(source, world, "someone")
    assert set(found) == {2, 3}
    assert found[2] > found[3] > 0
    source.onward = 0.0
    assert set(scores(source, world, "someone")) == {2}


def test_the_reason_is_where_the_path_began_and_the_next_click_moves_it() -> None:
    source, world = made(WalkSource, touched([*STEPS, ("someone", 15, 2)], offset=0))
    before = scores(source, world, "someone")
    assert 3 not in before
    world.apply(touched([("someone", 2, 2)], offset=20_000))
    query = Query(key("someone"), NOW)
    found = source.fetch(query, world.hydrate(query.visitor, NOW), 50)
    keys = world.columns.key
    reason = dict(zip(keys[found.items].tolist(), keys[found.because].tolist(), strict=True))
    assert reason[key("item-3")] == key("item-2")
    assert {key("item-15"), key("item-2")} == set(reason.values())


def test_more_lead_ahead_than_back() -> None:
    source, world = made(WalkSource, touched([*STEPS, ("someone", 2, 2)], offset=0))
    found = scores(source, world, "someone")
    assert found[3] > found.get(1, 0.0)


def test_a_seed_walks_one_way() -> None:
    lists = []
    for seed in (1, 1, 2):
        source, world = made(WalkSource)
        source.seed = seed
        lists.append([scores(source, world, f"user-{n}") for n in range(5)])
    assert lists[0] == lists[1]
    assert lists[0] != lists[2]


def test_rings_keep_the_last_and_forget_who_asks_to_be() -> None:
    source, world = made(WalkSource, touched([("a", item, 2) for item in (1, 1, *range(2, 20))], offset=0))
    tables = source.tables
    slot = world.hydrate(key("a"), NOW).slot
    kept = world.columns.key[np.sort(tables.items_of[slot]) - 1]
    assert set(kept.tolist()) == {key(f"item-{n}") for n in range(4, 20)}
    assert tables.visited[world.item_slots(np.array([key("item-1")], np.uint64))].tolist() == [1]
    again = VisitTables()
    again.load(tables.dump())
    assert all(np.array_equal(value, again.dump()[name]) for name, value in tables.dump().items())
    tables.forget(slot)
    assert not tables.items_of[slot].any()
    # Walks that come to a forgotten visitor end there.
    world.apply(touched([("b", 4, 2)], offset=20_000))
    assert scores(source, world, "b") == {}


def test_a_question_costs_its_steps_however_busy_the_items_are() -> None:
    source, world = made(WalkSource, history(20_000))
    assert len(scores(source, world, "user-1")) > 10
    assert source.tables.visitors_of.shape[1] == 32
