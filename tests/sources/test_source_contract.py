"""What every source in the package keeps to."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nearline.app.definition import App
from nearline.features.suppression import SuppressionLists
from nearline.models.graph import Graph
from nearline.pipeline.discovery import discover
from nearline.schema.clock import DAY, HOUR, MINUTE
from nearline.schema.components import FitData
from nearline.schema.conditions import Condition
from nearline.schema.declared import Declaration
from nearline.schema.event import Events, EventType, Role, empty_events
from nearline.schema.ids import key, key32
from nearline.schema.item import Item
from nearline.schema.lists import ItemList
from nearline.schema.query import Query
from nearline.schema.words import query_words
from nearline.stores.catalog import Catalog
from nearline.stores.state import MemoryState
from nearline.stores.world import OnlineWorld

SOURCES = discover("nearline.sources", ("name", "fetch"))
SOURCES["bidirectional"] = type("Bidirectional", (SOURCES["sequence"],), {"name": "bidirectional"})
APP = App(events=["view", "click", "purchase", "dislike"])
NOW = 1_700_000_000_000
COLORS = ("red", "orange", "yellow", "green", "blue", "indigo", "violet")
# Some sources answer only where the request filters, or a rule places something.
FILTERS = (Condition("price", "at_least", 0.0),)
WHERE = '[{"attribute": "brand", "op": "is", "value": "brand-1"}]'
PIN = Declaration("rule", "pin", f'{{"where": {WHERE}, "action": {{"type": "pin", "position": 1}}}}')
ITEMS = [
    Item(
        f"item-{n}",
        f"{COLORS[n % 7]} item {n}",
        f"Shop > Aisle {n % 7}",
        f"brand-{n % 5}",
        5.0 + n,
        (f"tag-{n % 3}",),
        NOW - n * HOUR,
    )
    for n in range(120)
]

AISLES = """
WITH RECURSIVE item(n) AS (SELECT 0 UNION SELECT n + 1 FROM item WHERE n < 119)
SELECT 'item-' || a.n, 'item-' || b.n, 1.0 / (1 + b.n) FROM item a, item b WHERE a.n % 7 = b.n % 7 AND a.n <> b.n
"""


def own_tower() -> dict[str, str]:
    """Files of a tower that is the mean of the last events, and of vectors that are one aisle each."""
    folder = Path(tempfile.mkdtemp(prefix="nearline-tower-"))
    atexit.register(shutil.rmtree, folder)
    graph = Graph("mean")
    items = graph.input("items", ("n", 16))
    graph.output("user", graph.node("ReduceMean", items, graph.integers(0), keepdims=0), (16,))
    (folder / "tower.onnx").write_bytes(graph.build().tobytes())
    vectors = 4.0 * np.eye(16)[np.arange(len(ITEMS)) % 7] + np.random.default_rng(1).normal(0, 0.1, (len(ITEMS), 16))
    np.savez(folder / "items.npz", item_ids=[item.item_id for item in ITEMS], vectors=vectors.astype(np.float32))
    return {"model": str(folder / "tower.onnx"), "vectors": str(folder / "items.npz")}


SMALL: dict[str, dict[str, Any]] = {
    "item_item": {"least": 0},
    "sequence": {"least": 0, "dimensions": 16, "epochs": 12, "buckets": 256},
    "bidirectional": {"least": 0, "dimensions": 32, "epochs": 30, "buckets": 256, "bidirectional": 1},
    "onnx": own_tower(),
    "slim": {"least": 0},
    "sql": {"url": "sqlite::memory:", "query": AISLES},
}
"""Arguments of sources that by default want more than this catalogue, or a database."""


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


def made(kind: type[Any], events: Events | None = None) -> tuple[Any, OnlineWorld]:
    """A source fitted, fed and bound."""
    source = kind(**SMALL.get(kind.name, {}))
    state = MemoryState(source.folds, [SuppressionLists(APP.kinds()), *source.state])
    world = OnlineWorld(state, Catalog(state))
    world.catalog.put(ITEMS)
    world.declared.put(PIN)
    events = history() if events is None else events
    world.apply(events)
    if "searches" in state.folds:
        world.apply(searched([f"user-{n}" for n in range(60)], "blue item", int(events["offset"][-1]) + 1))
    world.declared.put(ItemList("Picks", tuple(i.item_id for i in ITEMS[:30])).declaration("picks"))
    arrays = source.fit(FitData(events, np.array([key(i.item_id) for i in ITEMS], np.uint64), NOW, 1))
    source.bind(world, arrays)
    return source, world


def searched(users: list[str], query: str, offset: int, at: int = NOW) -> Events:
    """Events of users who search for one thing."""
    events = empty_events(len(users))
    events["offset"], events["ts"], events["role"] = offset + np.arange(len(users)), at, Role.SEARCH
    events["user"], events["words"] = [key(user) for user in users], query_words(query)
    return events


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_fetches_different_known_items_best_first(name: str) -> None:
    source, world = made(SOURCES[name])
    for user in range(0, 60, 7):
        query = Query(key(f"user-{user}"), NOW, filters=FILTERS)
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


TELLING = sorted(name for name, kind in SOURCES.items() if getattr(kind, "tells", ()))


@pytest.mark.parametrize("name", TELLING)
def test_it_tells_of_every_candidate_what_it_would_of_those_it_found(name: str) -> None:
    source, world = made(SOURCES[name])
    everything = np.arange(world.n_items, dtype=np.int32)
    for user in range(0, 60, 7):
        query = Query(key(f"user-{user}"), NOW)
        row = world.hydrate(query.visitor, NOW)
        out = np.full((len(source.tells), len(everything)), np.nan, np.float32)
        source.tell(query, row, everything, out)
        assert np.isfinite(out).all()
        found = source.fetch(query, row, 10)
        # What it found for its score stands out in one of the columns.
        assert max(np.isin(np.argsort(-column)[:20], found.items).mean() for column in out) >= 0.4
        some = np.random.default_rng(user).permutation(everything)[:30]
        part = np.empty((len(source.tells), len(some)), np.float32)
        source.tell(query, row, some, part)
        assert np.array_equal(part, out[:, some])
    stranger = np.full((len(source.tells), len(everything)), np.nan, np.float32)
    source.tell(Query(key("nobody"), NOW), world.hydrate(key("nobody"), NOW), everything, stranger)
    assert not stranger.any()


def touched(steps: list[tuple[str, int, int]], app: App = APP, offset: int = 10_000) -> Events:
    """Events of (user, number of the item, place of the event type), a second apart, the last one now."""
    events, kinds = empty_events(len(steps)), app.kinds()
    place = np.array([place for _, _, place in steps])
    events["offset"] = offset + np.arange(len(steps))
    events["ts"] = NOW - 1000 * np.arange(len(steps))[::-1]
    events["user"] = [key(user) for user, _, _ in steps]
    events["item"] = [key(ITEMS[item].item_id) for _, item, _ in steps]
    events["category"] = [key32(ITEMS[item].category) for _, item, _ in steps]
    events["kind"], events["role"], events["weight"] = place, kinds.role[place], kinds.weight[place]
    return events


def scores(source: Any, world: OnlineWorld, user: str) -> dict[int, float]:
    """The scores of a visitor's list by the item's number."""
    found = source.fetch(Query(key(user), NOW), world.hydrate(key(user), NOW), len(ITEMS))
    number = {key(item.item_id): n for n, item in enumerate(ITEMS)}
    return {number[int(k)]: float(s) for k, s in zip(world.columns.key[found.items], found.scores, strict=True)}


WHATEVER_IS_DISLIKED = {
    "cluster": "counts what everyone of a like taste does",
    "segment": "counts what everyone in a segment does",
    "trending": "counts what everyone does; one dislike is a drop in it",
    "popular": "counts what everyone does, as trending",
    "new_arrivals": "counts nothing, and looks only at categories",
    "editorial": "keeps the editors' order",
    "history": "holds the visitor's own items, not their like",
    "matching": "holds what the request filters by, the most popular first",
    "placed": "holds what rules place, the most popular first",
    "searches": "holds what has the words that the visitor searched for",
}


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_a_dislike_lowers_the_item_and_its_like(name: str) -> None:
    source, world = made(SOURCES[name])
    world.apply(touched([("someone", 10, 3), ("someone", 9, 3)]))
    before = scores(source, world, "someone")
    world.apply(touched([("someone", 9, 4)], offset=20_000))
    after = scores(source, world, "someone")
    if name not in WHATEVER_IS_DISLIKED:
        alike = [n for n in before if n % 7 == 9 % 7]
        assert sum(after.get(n, 0.0) for n in alike) < 0.7 * sum(before[n] for n in alike)


WEIGHTLESS = {
    "affinity": "goes by the order of what is popular in a category, not by how popular it is",
    "als": "a weight is how sure it is that a visitor and an item belong together, which says nothing of two items",
    "covisit": "counts steps from one item to the next, whatever they were",
    "next_item": "as covisit, whose tables it reads",
    "walk": "walks to who touched an item, whatever he did with it",
    "sessions": "counts shared items, whatever was done with them",
    "complements": "as covisit, of intents and conversions alone",
    "sql": "the query says what counts",
    "new_arrivals": "counts nothing",
    "onnx": "was trained elsewhere",
    "editorial": "counts nothing",
    "text": "compares words; events only say which items are compared with",
    "content": "compares attributes; events only say which items are compared with",
    "history": "holds the visitor's own items by time",
    "searches": "compares words of searches",
    "matching": "its scores say the order alone",
    "placed": "as matching",
}


@pytest.mark.parametrize("name", sorted(set(SOURCES) - set(WEIGHTLESS)))
def test_a_purchase_weighs_what_the_application_says(name: str) -> None:
    share: list[float] = []
    for weight in (2, 20):
        app = App(events=["view", "click", EventType("purchase", weight, "conversion", outcome=True)])
        # As many bought 3 after 1 as clicked 2 after it; the others keep the catalogue going.
        steps = [(f"buyer-{n}", item, place) for n in range(30) for item, place in ((1, 2), (3, 3))]
        steps += [(f"clicker-{n}", item, 2) for n in range(30) for item in (1, 2)]
        steps += [(f"other-{n}", (7 * n + 11 * m) % 100 + 10, 2) for n in range(60) for m in range(6)]
        source, world = made(SOURCES[name], touched([*steps, ("someone", 1, 2)], app, 0))
        found = scores(source, world, "someone")
        share.append(found[3] / found[2])
    assert share[1] > 1.02 * share[0]


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
