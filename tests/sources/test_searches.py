"""What was searched for finds items by words, fades, and is kept as keys alone."""

from __future__ import annotations

import pytest
from test_source_contract import NOW, searched

from nearline.app.defaults import components
from nearline.app.definition import App
from nearline.features.searches import SearchesFold
from nearline.schema.clock import HOUR
from nearline.schema.ids import key
from nearline.schema.item import Item
from nearline.schema.query import Query
from nearline.schema.words import query_words, words_of
from nearline.sources.searches import SearchesSource
from nearline.stores.catalog import Catalog
from nearline.stores.state import MemoryState
from nearline.stores.world import OnlineWorld

ITEMS = [
    Item("runner", "Running shoe, red", "Sport > Footwear", "Fleet"),
    Item("boots", "Winter boots", "Shoes", "Fleet", tags=("red",)),
    Item("hose", "Garden hose, red", "Garden"),
    Item("cafe", "Café table", "Garden"),
    Item("phones", "Headphones", "Audio", attributes={"about": "wireless"}),
]


def world_of(source: SearchesSource) -> OnlineWorld:
    state = MemoryState(source.folds)
    world = OnlineWorld(state, Catalog(state))
    world.catalog.put(ITEMS)
    source.bind(world, {})
    return world


def found(source: SearchesSource, world: OnlineWorld, now: int = NOW) -> dict[str, float]:
    query, user = Query(key("u"), now), world.hydrate(key("u"), now)
    out = source.fetch(query, user, 10)
    assert source.wanted(query, user) or not len(out.items)
    return {world.catalog.ids[slot]: float(score) for slot, score in zip(out.items, out.scores, strict=True)}


@pytest.mark.parametrize(
    ("query", "best", "all_of_them"),
    [
        ("red shoes", ["boots"], {"boots", "runner", "hose"}),  # whole words before parts, wherever they stand
        ("RUNNING SHOES size 42", ["runner"], {"runner", "boots"}),
        ("headphone", ["phones"], {"phones"}),
        ("cafés", ["cafe"], {"cafe"}),
        ("wireless fleet", ["phones", "runner", "boots"], {"phones", "boots", "runner"}),
        ("the xyzzy", [], set()),
        ("!?", [], set()),
    ],
)
def test_words_find_items(query: str, best: list[str], all_of_them: set[str]) -> None:
    source = SearchesSource()
    world = world_of(source)
    assert found(source, world) == {}
    world.apply(searched(["u"], query, 0))
    scores = found(source, world)
    assert set(scores) == all_of_them
    assert list(scores)[: len(best)] == best
    assert all(0 < score <= 1.00001 for score in scores.values())


def test_a_search_fades_and_the_newest_says_most() -> None:
    source = SearchesSource()
    world = world_of(source)
    world.apply(searched(["u"], "headphones", 0, NOW - HOUR))
    first = found(source, world)["phones"]
    assert found(source, world, NOW + HOUR)["phones"] == pytest.approx(first * 0.5**0.5, rel=1e-5)
    assert found(source, world, NOW + 24 * HOUR) == {}
    world.apply(searched(["u"], "garden hose", 1))
    both = found(source, world)
    assert list(both) == ["hose", "cafe", "phones"]
    assert both["phones"] == pytest.approx(first / 2, rel=1e-5)
    for place, query in enumerate(("winter", "red", "table"), 2):
        world.apply(searched(["u"], query, place))
    assert "phones" not in found(source, world)  # three are kept


def test_of_equal_matches_the_most_touched_comes_first() -> None:
    source = SearchesSource()
    world = world_of(source)
    world.state.rows["item_totals"]["counts"][world.catalog.slot("hose"), 2] = 5
    source.bind(world, {})
    world.apply(searched(["u"], "red", 0))
    assert list(found(source, world)) == ["hose", "runner", "boots"]


def test_keys_of_words_group_by_stem_and_say_nothing_readable() -> None:
    for one, other in (("shoe", "shoes"), ("bag", "bags"), ("lampe", "lampen"), ("dress", "dresses"), ("watch", "watches")):
        a, b = words_of(f"{one} {other}", 8)
        assert a != b
        assert a >> 12 == b >> 12
    assert words_of("pentax x1000", 8)[1] >> 12 != words_of("x1001", 8)[0] >> 12
    assert len(query_words("a few words more than four, which are kept")) == 4
    assert query_words("a blue running jacket for women") == query_words("blue running jacket women")
    assert set(query_words("")) == {0}
    assert SearchesFold.dtype.itemsize == 60


def test_only_an_application_with_searches_has_it() -> None:
    without, having = (components(App(events=events)) for events in (["view", "click"], ["view", "click", "search"]))
    for parts, there in ((without, False), (having, True)):
        assert ("searches" in [source.name for source in parts.sources]) is there
        assert ("searches" in [feature.name for feature in parts.features]) is there
