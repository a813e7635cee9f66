"""What changes over time in the shop: each is visible in its data, and the truth follows it."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from nearline.schema.clock import DAY, HOUR
from nearline.schema.errors import NearlineError
from nearline.sim.behaviour import react
from nearline.sim.client import Answer
from nearline.sim.config import LIVELY, STILL, ShopConfig
from nearline.sim.drift import Tastes
from nearline.sim.driver import drive
from nearline.sim.events import CLICK, HOME, PURCHASE, SimEvent
from nearline.sim.people import NO_INTENT
from nearline.sim.report import ListNote
from nearline.sim.taxonomy import COMPLEMENTS, LEAVES
from nearline.sim.texts import STYLES
from nearline.sim.world import ShopWorld


def shop(config: ShopConfig, users: int = 300, items: int = 400) -> ShopWorld:
    return ShopWorld(5, users, items, bots=0, config=config)


def clicks(world: ShopWorld, days: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return user row, item row and time of each click of the past."""
    found = [e for day in world.history(days) for e in day if e.event_type == "click"]
    user = np.array([world.people.rows[e.user_id] for e in found])
    return user, np.array([world.catalog.rows[e.item_id] for e in found]), np.array([e.timestamp for e in found])


def test_the_seed_decides_every_byte_of_a_lively_world() -> None:
    def told(seed: int) -> bytes:
        world = ShopWorld(seed, 60, 200, bots=1, config=LIVELY)
        return msgspec.json.encode([world.items, [e for day in world.history(6) for e in day]])

    assert told(3) == told(3)
    assert told(3) != told(4)


def test_with_everything_off_the_world_is_what_it_always_was() -> None:
    """Figures of record compare over time: these digests are of the shop before anything could change in it.

    Who did what to which item in which order; not the times, whose last digits may differ between processors.
    """

    def digest(world: ShopWorld, days: int) -> str:
        events: list[SimEvent] = [e for day in world.history(days) for e in day]
        facts = [(e.user_id, e.event_type, e.item_id, e.context.position) for e in events]
        return hashlib.sha256(msgspec.json.encode([[msgspec.to_builtins(i) for i in world.items], facts])).hexdigest()[:16]

    assert digest(ShopWorld(3, users=60, items=200, bots=1), 5) == "4cbf273609b8d06b"
    assert digest(ShopWorld(0, users=150, items=300), 8) == "94061c4ee8117058"


def test_the_true_value_of_a_list_is_what_visits_come_to() -> None:
    config = replace(LIVELY, rhythm=0.0, new_users=0.0, sameness=0.5)
    world = shop(config, users=8)
    user, now, n = 7, world.end_ms + 9 * DAY, 20_000
    rng, memory = np.random.default_rng(1), world.memory()
    rows = np.argsort(-world.utilities(world.people.ids[user], now=now))[[0, 5, 1, 9, 2, 30, 3, 80]]
    bought = world.catalog.leaf[rows[:1]]
    memory.buy(np.array([user]), bought, np.array([now - 2 * DAY]))
    memory.owed[user] = COMPLEMENTS[bought[0]]
    ids = [world.items[row].item_id for row in rows]
    truth = world.value(world.people.ids[user], ids, now, memory=memory)

    visits = world.sessions(rng, now // DAY * DAY, memory, rate=n / world.people.rate[user] / 1.2)
    intent = visits.intent[visits.user == user][:n]
    n = len(intent)
    assert n > 10_000
    items, at = np.tile(rows, (n, 1)), np.full(n, now)
    utility = world.in_list(world.utility(np.full(n, user), items, intent, at, memory), items, intent)
    kinds = react(rng, at, items, utility, np.ones(items.shape, bool), np.full(n, HOME)).rows["kind"]
    for kind, expected in ((CLICK, truth.clicks), (PURCHASE, truth.purchases)):
        happened = int((kinds == kind).sum())
        assert abs(happened / n - expected) < 5 * np.sqrt(happened) / n
    assert truth.value == pytest.approx(truth.clicks + 8 * truth.purchases)

    # What was bought and what a visit is after both count, and so does the time.
    before = world.value(world.people.ids[user], ids, now)
    assert before.clicks != pytest.approx(truth.clicks, rel=0.02)
    known = world.value(world.people.ids[user], ids[:1], now, intent=int(bought[0]))
    assert known.clicks > 1.5 * world.value(world.people.ids[user], ids[:1], now, intent=NO_INTENT).clicks
    assert world.value(world.people.ids[user], ids, now + 21 * DAY).clicks != pytest.approx(before.clicks, rel=0.001)
    assert world.value(world.people.ids[user], []).value == 0


def test_tastes_drift_and_their_spread_stays() -> None:
    people = shop(STILL, users=1_000).people
    tastes = Tastes(5, people, 0.2)

    def like(day: int) -> float:
        return float(np.corrcoef(tastes.at(day).ravel(), people.taste.ravel())[0, 1])

    def spread(day: int) -> float:
        return float((tastes.at(day) ** 2).sum(axis=1).mean())

    for way in (1, -1):
        assert 1 > like(way) > like(7 * way) > like(28 * way) > like(84 * way)
        assert like(7 * way) == pytest.approx(0.8, abs=0.06)
        assert spread(84 * way) == pytest.approx(spread(0), rel=0.05)
    assert Tastes(5, people, 0.0).at(50) is people.taste

    def favourites(config: ShopConfig) -> tuple[float, float]:
        """Return the share of clicks on leaves that are favourites at the end: of the first week, of the last."""
        world = shop(config, items=300)
        user, item, at = clicks(world, 42)
        best = np.argsort(-world.people.taste, axis=1)[:, :3]
        inside = (best[user] == world.catalog.leaf[item][:, None]).any(axis=1)
        first, last = at < world.end_ms - 35 * DAY, at >= world.end_ms - 7 * DAY
        return float(inside[first].mean()), float(inside[last].mean())

    first, last = favourites(ShopConfig(drift=0.3))
    assert last - first > 0.15
    first, last = favourites(STILL)
    assert abs(last - first) < 0.06


def test_a_purchase_satiates_and_makes_a_need() -> None:
    def after(config: ShopConfig) -> tuple[float, float]:
        """Return the share of clicks in the leaf and in the complement of a purchase, one to eight days after it."""
        world = shop(config, users=400)
        events = [e for day in world.history(30) for e in day]
        bought: dict[str, list[tuple[int, int]]] = defaultdict(list)
        found: Counter[str] = Counter()
        for event in events:
            if event.event_type not in ("click", "purchase"):
                continue
            leaf, at = int(world.catalog.leaf[world.catalog.rows[event.item_id]]), event.timestamp or 0
            for own, when in bought[event.user_id]:
                if event.event_type == "click" and DAY < at - when < 8 * DAY:
                    found.update(all=1, own=int(leaf == own), need=int(leaf == COMPLEMENTS[own]))
            if event.event_type == "purchase":
                bought[event.user_id].append((leaf, at))
        return found["own"] / found["all"], found["need"] / found["all"]

    own, need = after(STILL)
    assert after(ShopConfig(satiation=4.0))[0] < 0.5 * own
    assert after(ShopConfig(need=2.0))[1] > 1.5 * need


def test_demand_has_seasons_and_hours() -> None:
    def follows(config: ShopConfig) -> tuple[float, float]:
        """Return how the clicks on leaves follow the slow wave and the hour, as correlations over leaves."""
        world = shop(config)
        _, item, at = clicks(world, 40)
        leaf = world.catalog.leaf[item]
        day = (at - at.min()) // (5 * DAY)
        counts = np.zeros((8, len(LEAVES)))
        np.add.at(counts, (np.minimum(day, 7), leaf), 1)
        share = counts / counts.sum(axis=1, keepdims=True) / np.maximum(counts.sum(axis=0) / counts.sum(), 1e-9)
        middle = at.min() + (np.arange(8) * 5 + 2) * DAY + DAY // 2
        season = world.season
        wave = np.sin(2 * np.pi * (middle[:, None] / (config.season_days * DAY) + season.phase))
        evening = at // HOUR % 24 >= 17
        late = np.array([evening[leaf == n].mean() if (leaf == n).any() else np.nan for n in range(len(LEAVES))])
        ok = np.isfinite(late)
        hour = np.cos(2 * np.pi * (season.peak_hour - 20.5) / 24)
        return float(np.corrcoef(share.ravel(), wave.ravel())[0, 1]), float(np.corrcoef(late[ok], hour[ok])[0, 1])

    wave, hour = follows(ShopConfig(season=1.5, season_days=40, rhythm=1.5))
    assert wave > 0.5
    assert hour > 0.4
    wave, hour = follows(ShopConfig(season_days=40))
    assert abs(wave) < 0.2
    assert abs(hour) < 0.4

    visits = Counter((e.timestamp or 0) // HOUR % 24 for day in shop(ShopConfig(daily=0.0)).history(10) for e in day)
    assert min(visits[hour] for hour in range(24)) > 0.4 * max(visits.values())


def test_price_and_style_count_where_they_are_on() -> None:
    def mean(config: ShopConfig) -> tuple[float, float]:
        world = shop(config)
        user, item, _ = clicks(world, 20)
        liked = world.people.style[user, world.catalog.style[item]]
        return float(world.catalog.price_z[item].mean()), float(liked.mean())

    price, style = mean(STILL)
    assert mean(ShopConfig(price=1.0))[0] < price - 0.2
    assert abs(style) < 0.1
    assert mean(ShopConfig(style=1.0))[1] > 0.4


def test_sameness_costs_what_the_visit_is_not_after() -> None:
    world = shop(ShopConfig(sameness=0.5))
    leaf = int(world.catalog.leaf[50])
    alike = np.flatnonzero(world.catalog.leaf == leaf)[:3]
    other = np.flatnonzero(world.catalog.leaf != leaf)[:1]
    items = np.concatenate([alike[:2], other, alike[2:]])[None, :]
    flat = np.zeros(items.shape, np.float32)
    assert world.in_list(flat, items, np.array([NO_INTENT])).tolist() == [[0.0, -0.5, 0.0, -1.0]]
    assert world.in_list(flat, items, np.array([leaf])).tolist() == [[0.0, 0.0, 0.0, 0.0]]
    hidden = np.array([[True, False, True, True]])
    assert world.in_list(flat, items, np.array([NO_INTENT]), hidden)[0, 3] == -0.5


def test_items_and_people_arrive_after_the_present() -> None:
    config = ShopConfig(new_items=0.01, new_users=0.02, horizon_days=20)
    world = shop(config)
    assert len(world.items_at(world.end_ms)) == 400
    assert len(world.items) == 400 + 80
    assert len({item.item_id for item in world.items}) == len(world.items)
    assert set(world.catalog.leaf[world.catalog.created_at <= world.end_ms]) == set(range(len(LEAVES)))
    each = [len(world.items_at(world.end_ms + (d + 1) * DAY, world.end_ms + d * DAY)) for d in range(20)]
    assert sum(each) == 80
    assert max(each) < 15
    assert {e.item_id for day in world.history(5) for e in day} <= {i.item_id for i in world.items_at(world.end_ms)} | {""}
    first = int((world.people.joined > 0).argmax())
    assert (len(world.people.ids), first) == (300 + 120, 300)
    memory, seen = world.memory(), set[int]()
    for day in range(20):
        visits = world.sessions(np.random.default_rng(day), world.end_ms + day * DAY, memory)
        assert (visits.start >= world.people.joined[visits.user]).all()
        seen |= set(visits.user.tolist())
    assert sum(user >= first for user in seen) > 40


class Shelf:
    """Answers with the newest items that it was given."""

    retries = 0

    def __init__(self, world: ShopWorld) -> None:
        self.items = [item.item_id for item in world.items_at(world.end_ms)]
        self.arrived: list[tuple[int, str]] = []
        self.kinds = Counter[tuple[str, bool]]()
        self.times: list[int] = []

    def get(self, path: str) -> Answer:
        served = {"request_id": "r", "items": [{"item_id": item} for item in self.items[-10:]]}
        return Answer(200, msgspec.json.encode(served), 0.001)

    def post(self, path: str, body: bytes) -> Answer:
        sent = msgspec.json.decode(body)
        if path == "/v1/items":
            self.arrived += [(self.times[-1], item["item_id"]) for item in sent]
            self.items += [item["item_id"] for item in sent]
        else:
            self.kinds.update((event["event_type"], "request_id" in event["context"]) for event in sent)
        return Answer(202, b"{}", 0.001)


def test_a_drive_stocks_what_arrives_and_visitors_browse_too() -> None:
    world = shop(replace(LIVELY, new_items=0.02), users=80, items=100)
    shelf, memory, notes, mornings = Shelf(world), world.memory(), list[ListNote](), list[int]()
    report = drive(
        "", world, 10, page_size=10, client=shelf, memory=memory, note=notes.append, tick=shelf.times.append,
        morning=lambda day, now: mornings.append(now),
    )  # fmt: skip
    assert mornings == [world.end_ms + day * DAY for day in range(10)]
    assert report.errors == 0
    # Each item once, on the morning after it was created.
    born = dict(zip((item.item_id for item in world.items), world.catalog.created_at.tolist(), strict=True))
    assert len(shelf.arrived) == len({item for _, item in shelf.arrived}) > 10
    assert all(0 <= now - born[item] < DAY for now, item in shelf.arrived)
    assert {item for _, item in shelf.arrived} == {i.item_id for i in world.items_at(mornings[-1], world.end_ms)}
    # What was done on lists and on the shop's own pages is told; only the first names a list.
    for kind in ("click", "view"):
        assert shelf.kinds[kind, True] > 20
        assert shelf.kinds[kind, False] > 20
    assert shelf.kinds["search", False] > 20
    assert (shelf.kinds["seen", False], shelf.kinds["search", True]) == (0, 0)
    assert len(notes) == report.lists
    assert sum(note.clicks for note in notes) == shelf.kinds["click", True]
    assert (memory.bought > 0).sum() > 0
    expected = sum(note.truth.clicks for note in notes)
    assert abs(sum(note.clicks for note in notes) - expected) < 5 * np.sqrt(expected)


def test_descriptions_tell_category_brand_and_style() -> None:
    world = shop(LIVELY, items=600)
    bags = []
    for row, item in enumerate(world.items):
        text = item.attributes["description"]
        words = set(text.lower().replace(",", " ").replace(".", " ").replace(":", " ").replace(";", " ").split())
        assert item.brand in text
        assert len(words & set(STYLES[world.catalog.style[row]])) == 3
        bags.append(words)
    vocabulary = {word: place for place, word in enumerate(sorted(set().union(*bags)))}
    x = np.zeros((len(bags), len(vocabulary)))
    for row, words in enumerate(bags):
        x[row, [vocabulary[word] for word in words]] = 1
    x *= np.log(len(x) / x.sum(axis=0))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    near = x @ x.T
    np.fill_diagonal(near, -1)
    nearest = near.argmax(axis=1)
    leaf, style = world.catalog.leaf, world.catalog.style
    assert (leaf == leaf[nearest]).mean() > 0.3  # by chance 1 in 41
    assert (style == style[nearest]).mean() > 0.3  # by chance 1 in 8
    assert "attributes" not in msgspec.to_builtins(shop(STILL).items[0])


def test_a_configuration_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(NearlineError, match="satiation"):
        ShopConfig(satiation=-1)
    with pytest.raises(NearlineError, match="drift"):
        ShopConfig(drift=1.0)
    with pytest.raises(NearlineError, match="season_days"):
        ShopConfig(season_days=0)
