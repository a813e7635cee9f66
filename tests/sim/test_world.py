"""The synthetic shop: the same bytes for the same seed, and the truths it claims."""

from __future__ import annotations

from collections import Counter, defaultdict

import msgspec
import numpy as np
import pytest

from nearline.schema.clock import DAY, SECOND
from nearline.schema.errors import NearlineError
from nearline.sim.behaviour import position_bias, react, sigmoid
from nearline.sim.events import CLICK, HOME, SimEvent, to_json
from nearline.sim.taxonomy import LEAVES
from nearline.sim.world import ShopWorld


@pytest.fixture(scope="module")
def world() -> ShopWorld:
    return ShopWorld(seed=7)


@pytest.fixture(scope="module")
def days(world: ShopWorld) -> list[list[SimEvent]]:
    return list(world.history(30))


@pytest.fixture(scope="module")
def events(days: list[list[SimEvent]]) -> list[SimEvent]:
    return [event for day in days for event in day]


def small(seed: int) -> bytes:
    world = ShopWorld(seed, users=60, items=200, bots=1)
    events = [event for day in world.history(5) for event in day]
    return msgspec.json.encode([world.items, events])


def test_the_seed_decides_every_byte() -> None:
    assert small(3) == small(3)
    assert small(3) != small(4)


def test_history_is_ordered_complete_and_in_the_clients_form(
    world: ShopWorld, days: list[list[SimEvent]], events: list[SimEvent]
) -> None:
    assert 60_000 <= len(events) <= 100_000
    times = [event.timestamp or 0 for event in events]
    assert times == sorted(times)
    for n, day in enumerate(days):
        begin = world.end_ms - (30 - n) * DAY
        assert all(begin <= (event.timestamp or 0) < begin + DAY for event in day)
    assert [event.event_id for event in events] == [f"sim-7-{n}" for n in range(len(events))]
    kinds = Counter(event.event_type for event in events)
    assert set(kinds) == {
        "search", "view", "click", "add_to_cart", "purchase", "dislike", "rate", "return"
    }  # fmt: skip
    assert kinds["click"] > 4 * kinds["add_to_cart"] > 4 * kinds["purchase"] > 4 * kinds["return"] > 0

    born = {item.item_id: item.created_at for item in world.items}
    price = {item.item_id: item.price for item in world.items}
    assert sum(world.end_ms - at < 30 * DAY for at in born.values()) > 400
    for event in events:
        assert bool(event.item_id) == (event.event_type != "search") == (not event.event_value.query)
        if event.item_id:
            assert born[event.item_id] <= (event.timestamp or 0)
        if event.event_type in {"click", "view", "add_to_cart", "purchase", "return"}:
            assert event.event_value.price == price[event.item_id]
        assert (event.event_value.dwell_ms is not None) == (event.event_type == "view")
        assert (event.event_value.rating is not None) == (event.event_type == "rate")

    first = msgspec.json.decode(to_json(next(e for e in events if e.event_type == "click")))
    assert set(first) == {
        "user_id",
        "event_type",
        "item_id",
        "timestamp",
        "event_id",
        "context",
        "event_value",
    }
    assert set(first["context"]) == {"page", "position", "session_id", "device"}
    item = msgspec.json.decode(msgspec.json.encode(world.items[0]))
    assert set(item) == {"item_id", "title", "category", "brand", "price", "tags", "created_at"}
    titles = Counter((item.category, item.title) for item in world.items)
    assert max(titles.values()) == 1


def test_people_follow_their_tastes_and_buy_what_goes_with_it(world: ShopWorld, events: list[SimEvent]) -> None:
    leaf_of = {item.item_id: row for item, row in zip(world.items, world.catalog.leaf, strict=True)}
    clicks = [e for e in events if e.event_type == "click" and e.user_id not in world.bots]
    favourites = np.argsort(-world.people.taste, axis=1)[:, :3]
    inside = np.mean([leaf_of[e.item_id] in favourites[world.people.rows[e.user_id]] for e in clicks])
    assert inside > 0.6  # three leaves of 41 would be 0.07

    index = {leaf.name: row for row, leaf in enumerate(LEAVES)}
    follows = Counter[str]()
    last: dict[str, int] = {}
    for event in events:
        if event.user_id in world.bots:
            continue
        if event.event_type == "purchase":
            last[event.user_id] = leaf_of[event.item_id]
        elif event.event_type == "search" and event.user_id in last:
            bought = last[event.user_id]
            taste = world.people.taste[world.people.rows[event.user_id]]
            wanted = index[LEAVES[bought].complement]
            if taste[wanted] < 0.01:  # so that it is the purchase and not the taste
                follows["asked"] += 1
                follows["complement"] += event.event_value.query in LEAVES[wanted].nouns
    assert follows["complement"] / follows["asked"] > 0.1  # by chance: about 0.003


def test_clicks_are_position_bias_times_sigmoid_of_utility() -> None:
    rng, n, k = np.random.default_rng(1), 40_000, 20
    utility = np.tile(np.linspace(1, -1, k, dtype=np.float32), (n, 1))
    items, at = np.tile(np.arange(k), (n, 1)), np.zeros(n, dtype=np.int64)
    shown = np.ones((n, k), dtype=bool)
    shown[:, 0] = False  # takes no rank: the second place is looked at by all
    rows = react(rng, at, items, utility, shown, np.full(n, HOME), with_seen=True).rows
    clicks = rows[rows["kind"] == CLICK]
    assert (clicks["position"] == clicks["item"]).all()
    rate = np.bincount(clicks["item"], minlength=k)[1:] / n
    truth = position_bias(np.arange(1, k)) * sigmoid(utility[0, 1:])
    error = np.sqrt(truth * (1 - truth) / n)
    assert np.abs((rate - truth) / error).max() < 4


def test_history_shows_position_bias(world: ShopWorld, events: list[SimEvent]) -> None:
    at = Counter(e.context.position for e in events if e.event_type == "click" and e.user_id not in world.bots)
    assert at[1] > 1.8 * at[5] > 1.8 * 1.3 * at[15] > 0


def test_bots_are_faster_than_people(world: ShopWorld, events: list[SimEvent]) -> None:
    times: dict[str, list[int]] = defaultdict(list)
    for event in events:
        if event.event_type == "view":
            times[event.user_id].append(event.timestamp or 0)
    pace = {user: np.median(np.diff(at)) for user, at in times.items() if len(at) >= 20}
    assert {user for user, median in pace.items() if median < 1.5 * SECOND} == set(world.bots)
    assert sum(event.user_id in world.bots for event in events) < 0.15 * len(events)
    busiest = sorted((len(at) for user, at in times.items() if user not in world.bots), reverse=True)
    assert sum(busiest[:100]) > 0.25 * sum(busiest)  # heavy-tailed


def test_truth_orders_the_ideal_list(world: ShopWorld) -> None:
    user = world.people.ids[5]
    everything = world.utilities(user)
    best = world.ideal_list(user, k=10)
    values = [world.truth(user, item) for item in best]
    assert values == sorted(values, reverse=True)
    assert values[0] == everything.max()
    some = [item.item_id for item in world.items[:50]]
    assert set(world.ideal_list(user, some, 50)) == set(some)
    assert world.ideal_list(user, some, 1) == [max(some, key=lambda item: world.truth(user, item))]
    top = int(np.argmax(everything))
    leaf = int(world.catalog.leaf[top])
    assert world.utilities(user, leaf)[top] > everything[top]


def test_what_makes_no_sense_is_refused(world: ShopWorld) -> None:
    with pytest.raises(NearlineError, match="items = 10"):
        ShopWorld(items=10)
    with pytest.raises(NearlineError, match="users"):
        ShopWorld(users=0)
    with pytest.raises(NearlineError, match="seed"):
        ShopWorld(seed=-1)
    with pytest.raises(NearlineError, match="bots have no tastes"):
        world.truth(world.bots[0], world.items[0].item_id)
    with pytest.raises(NearlineError, match="item_id"):
        world.truth(world.people.ids[0], "nothing")
