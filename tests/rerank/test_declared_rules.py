"""Declared rules as components: bits are what conditions say, pins and quotas hold on the page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_rule_contract import NOW, candidates, ranked

from nearline.features.suppression import SuppressionLists
from nearline.rerank.category_cap import CategoryCap
from nearline.rerank.diversity import DiversityRule
from nearline.rerank.exploration import ExplorationRule
from nearline.rerank.rule_boosts import RuleBoosts
from nearline.rerank.rule_effects import by_name
from nearline.rerank.rule_exclusions import RuleExclusions
from nearline.rerank.rule_places import RulePlaces
from nearline.schema.candidates import Arranged, Ranked
from nearline.schema.clock import HOUR
from nearline.schema.conditions import Condition
from nearline.schema.declared import Declaration
from nearline.schema.errors import NearlineError
from nearline.schema.item import Item
from nearline.schema.kinds import Kinds
from nearline.schema.query import Query
from nearline.schema.rules import AtLeast, AtMost, Boost, Bury, Exclude, Pin, Rule, checked_rule
from nearline.stores.catalog import Catalog
from nearline.stores.state import MemoryState
from nearline.stores.world import OnlineWorld

KINDS = OnlineWorld(MemoryState([]), Catalog(MemoryState([]))).attributes.kinds


def rule(name: str, action: Any, *tags: str, **more: Any) -> Rule:
    return Rule(name=name, action=action, where=[Condition("tags", "in", tags)], **more)


def under(tags: Sequence[tuple[str, ...]], *rules: Rule) -> OnlineWorld:
    """A world with one item per tuple of tags, item-0.., under rules declared over HTTP."""
    state = MemoryState([], [SuppressionLists(Kinds([]))])
    world = OnlineWorld(state, Catalog(state))
    world.catalog.put([Item(f"item-{n}", category=f"c{n % 2}", tags=own, price=float(n)) for n, own in enumerate(tags)])
    for one in rules:
        checked = checked_rule(one, KINDS)
        world.declared.put(Declaration("rule", checked.name, msgspec.json.encode(checked).decode()))
    return world


def arranged(world: OnlineWorld, n: int, size: int, given: Ranked | None = None) -> tuple[list[int], Arranged | None, Any]:
    places = RulePlaces()
    places.bind(world)
    user = world.hydrate(1, NOW)
    found = places.arrange(Query(1, NOW), user, given or ranked(n), size)
    if isinstance(found, Arranged):
        return found.places.tolist(), found, by_name(user)
    return found.tolist(), None, by_name(user)


tag_sets = st.lists(st.lists(st.sampled_from("abc"), max_size=2, unique=True).map(tuple), min_size=1, max_size=30)


def held_off(world: OnlineWorld, n: int, size: int, seed: int) -> tuple[list[int], list[int], Arranged]:
    """The order as it was due, the one with half of the places drawn, and what was said of that."""
    _, due, _ = arranged(world, n, size)
    assert due is not None
    explore = ExplorationRule(share=0.5, most=0, least=0)
    explore.bind(world)
    query = Query(1, NOW, seed=seed)
    drawn = explore.arrange(query, world.hydrate(1, NOW), due.of(ranked(n)), size)
    drawn = drawn if isinstance(drawn, Arranged) else Arranged(drawn)
    return due.places.tolist(), due.places[drawn.places].tolist(), drawn


actions = st.one_of(
    st.builds(Pin, st.integers(1, 12)),
    st.integers(1, 12).flatmap(lambda first: st.builds(AtLeast, st.integers(1, first), st.just(first))),
    st.integers(1, 12).flatmap(lambda first: st.builds(AtMost, st.integers(0, first), st.just(first))),
)


@settings(max_examples=200, deadline=None)
@given(tag_sets, st.lists(st.tuples(actions, st.sampled_from("abc")), min_size=1, max_size=6), st.integers(1, 15))
def test_whatever_the_rules_a_page_is_an_order_of_all_with_the_first_pin_in_its_place(
    tags: list[tuple[str, ...]], given_rules: list[tuple[Any, str]], size: int
) -> None:
    rules = [rule(f"r{n:02}", action, tag) for n, (action, tag) in enumerate(given_rules)]
    world = under(tags, *rules)
    places, found, _ = arranged(world, len(tags), size)
    assert found is not None
    assert sorted(places) == list(range(len(tags)))
    page = min(size, len(tags))
    for one in rules:
        if isinstance(one.action, Pin):
            wanted = [n for n, own in enumerate(tags) if one.where[0].value[0] in own]  # type: ignore[index]
            if wanted and one.action.position <= page:
                assert places[one.action.position - 1] == wanted[0]
                assert found.held is not None
                assert found.held[one.action.position - 1]
            break


@settings(max_examples=200, deadline=None)
@given(tag_sets, st.integers(1, 12).flatmap(lambda first: st.tuples(st.integers(1, first), st.just(first))), st.integers(1, 15))
def test_quotas_hold_where_they_can_and_move_as_little_as_they_must(
    tags: list[tuple[str, ...]], quota: tuple[int, int], size: int
) -> None:
    count, first = quota
    n, window = len(tags), min(first, size, len(tags))
    mine = [place for place in range(n) if "a" in tags[place]]
    naturally = sum(place < window for place in mine)

    places, found, effects = arranged(under(tags, rule("least", AtLeast(count, first, "Ad"), "a")), n, size)
    have = sum(place in mine for place in places[:window])
    assert have == max(naturally, min(count, len(mine), window))
    assert [p for p in places if p not in mine] == sorted(set(range(n)) - set(mine))
    assert [p for p in places if p in mine] == mine
    assert found is not None
    if have:
        assert found.labels is not None
        assert [found.labels[k] for k in range(n)] == ["Ad" if k < window and places[k] in mine else "" for k in range(n)]
    assert bool(effects) == (have > naturally)

    places, _, effects = arranged(under(tags, rule("most", AtMost(count, first), "a")), n, size)
    have = sum(place in mine for place in places[:window])
    assert have == max(min(count, naturally), window - (n - len(mine))) if naturally > count else have == naturally
    assert bool(effects) == (places != list(range(n)))


def test_pins_and_quotas_hold_after_diversity_and_the_cap_and_bring_back_what_those_dropped() -> None:
    tags = [()] * 300 + [("new",)] * 5 + [("star",)]
    world = under(
        tags, rule("star", Pin(2), "star"), rule("new", AtLeast(3, 10, "New"), "new"), rule("few", AtMost(1, 10), "none")
    )
    user, query, size = world.hydrate(1, NOW), Query(1, NOW), 10
    whole = ranked(len(tags))
    rule_places = RulePlaces()
    rule_places.bind(world)
    assert rule_places.wanted(query, user)
    kept = rule_places.reserve(query, user, whole.candidates.items)
    assert kept.tolist() == [300, 301, 302, 303, 304, 305]
    head = whole.take(np.arange(200))
    for other in (DiversityRule(), CategoryCap()):
        other.bind(world)
        places = other.arrange(query, user, head, size)
        head = head.take(places.places if isinstance(places, Arranged) else places)
    head = head.followed(whole.take(kept))
    found = rule_places.arrange(query, user, head, size)
    assert isinstance(found, Arranged)
    page = found.of(head).candidates.items[:size].tolist()
    assert page[1] == 305
    assert page[7:] == [300, 301, 302]
    assert by_name(user) == {"star": 1, "new": 3}


def test_priority_decides_who_gets_a_place() -> None:
    tags = [(), (), ("a",), ("b",), ("b",)]
    pins = [rule("a", Pin(1), "a"), rule("b", Pin(1), "b", priority=5)]
    assert arranged(under(tags, *pins), 5, 5)[0] == [3, 2, 0, 1, 4]
    both = [rule("a", AtLeast(2, 2), "a"), rule("b", AtLeast(2, 2), "b", priority=5)]
    assert arranged(under(tags, *both), 5, 5)[0][:2] == [3, 4]


def test_two_quotas_that_need_every_place_both_get_theirs() -> None:
    tags = [(), (), (), ("a",), ("b",), ("b",)]
    both = [rule("a", AtLeast(1, 3), "a"), rule("b", AtLeast(2, 3), "b")]
    assert arranged(under(tags, *both), 6, 6)[0] == [3, 4, 5, 0, 1, 2]


def test_boosts_multiply_and_spare_what_has_no_score() -> None:
    world = under([("a",), ("a", "b"), (), ("b",)], rule("up", Boost(2), "a"), rule("down", Bury(4), "b"))
    boosts = RuleBoosts()
    boosts.bind(world)
    user, scores = world.hydrate(1, NOW), np.array([1.0, 1.0, 1.0, -1.0], np.float32)
    assert boosts.adjust(Query(1, NOW), user, candidates(4), scores).tolist() == [2.0, 0.5, 1.0, -4.0]
    assert by_name(user) == {"up": 2, "down": 2}
    sunk = np.full(4, -1e30, np.float32)
    assert boosts.adjust(Query(1, NOW), user, candidates(4), sunk).tolist() == sunk.tolist()


def excluded(world: OnlineWorld, query: Query, n: int) -> list[int]:
    exclusions = RuleExclusions()
    exclusions.bind(world)
    return np.flatnonzero(~exclusions.keep(query, world.hydrate(query.visitor, query.now), candidates(n))).tolist()


def test_more_rules_than_a_word_has_bits() -> None:
    tags = [(f"t{n}",) for n in range(150)]
    world = under(tags, *(rule(f"r{n}", Exclude(), f"t{n}") for n in range(150) if n % 3 == 0))
    assert excluded(world, Query(1, NOW), 150) == list(range(0, 150, 3))


@pytest.mark.parametrize(
    ("when", "query", "holds"),
    [
        (("surface", "is", "cart"), {"surface": "cart"}, True),
        (("surface", "is", "cart"), {}, False),
        (("surface", "not_in", ("cart", "email")), {}, True),
        (("device", "is", "mobile"), {"device": "mobile"}, True),
        (("locale", "under", "de"), {"locale": "de_AT"}, True),
        (("locale", "under", "de"), {"locale": "del"}, False),
        (("locale", "is", "de"), {"locale": "de-AT"}, False),
        (("location", "in", ("AT", "CH")), {"location": "CH"}, True),
        (("hour", "at_least", 22), {"now": NOW // (24 * HOUR) * 24 * HOUR + 23 * HOUR}, True),
        (("hour", "at_least", 22), {"now": NOW // (24 * HOUR) * 24 * HOUR + 21 * HOUR}, False),
        (("weekday", "in", ("tuesday",)), {}, True),  # 14 November 2023
        (("weekday", "in", ("monday", "wednesday")), {}, False),
        (("known", "is", False), {}, True),
        (("signed_in", "is", True), {"user_id": "u"}, True),
        (("signed_in", "is", True), {}, False),
        (("page.tags", "has", "a"), {"item_id": "item-0"}, True),
        (("page.tags", "has", "a"), {"item_id": "item-1"}, False),
        (("page.tags", "has", "a"), {"item_id": "unknown"}, False),
        (("page.tags", "lacks", "a"), {}, False),  # there is no such item, so it lacks nothing
        (("page.price", "at_most", 0.5), {"item_id": "item-0"}, True),
    ],
)
def test_a_rule_is_for_the_requests_that_it_says(when: tuple[str, str, Any], query: dict[str, Any], holds: bool) -> None:
    world = under([("a",), ("b",)], rule("out", Exclude(), "b", when=[Condition(*when)]))
    assert excluded(world, Query(1, query.pop("now", NOW), **query), 2) == ([1] if holds else [])


def test_dates_start_and_end_a_rule() -> None:
    at = datetime.fromtimestamp(NOW / 1000, UTC)
    later = datetime.fromtimestamp((NOW + HOUR) / 1000, UTC)
    world = under([("a",)], rule("hour", Exclude(), "a", starts=at, ends=later))
    for now, out in ((NOW - 1, []), (NOW, [0]), (NOW + HOUR - 1, [0]), (NOW + HOUR, [])):
        assert excluded(world, Query(1, now), 1) == out


def test_a_changed_item_and_a_withdrawn_rule_are_followed() -> None:
    world = under([("a",), ()], rule("out", Exclude(), "a"))
    assert excluded(world, Query(1, NOW), 2) == [0]
    world.catalog.put([Item("item-1", tags=("a",))])
    world.rules.renew(NOW)
    world.rules._next = 0.0
    world.rules.renew(NOW)
    assert excluded(world, Query(1, NOW), 2) == [0, 1]
    world.declared.put(Declaration("rule", "out", ""))
    assert excluded(world, Query(1, NOW), 2) == []


def test_a_rule_that_can_not_be_read_any_more_is_left_out_alone() -> None:
    world = under([("a",), ("b",)], rule("good", Exclude(), "a"))
    world.declared.put(Declaration("rule", "torn", "{"))
    bad = '{"where": [{"attribute": "shine", "op": "is", "value": 1}], "action": {"type": "exclude"}}'
    world.declared.put(Declaration("rule", "gone", bad))
    assert excluded(world, Query(1, NOW), 2) == [0]
    assert set(world.rules.problems) == {"torn", "gone"}


def test_a_rule_tried_out_changes_nothing_for_others() -> None:
    world = under([("a",), ("b",)], rule("out", Exclude(), "a"))
    trial = checked_rule(rule("out", Exclude(), "b", ends=datetime(2001, 1, 1, tzinfo=UTC)), KINDS)
    assert excluded(world, Query(1, NOW, trial=trial), 2) == [1]
    assert excluded(world, Query(1, NOW), 2) == [0]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "preview"}, "name"),
        ({"where": []}, "where"),
        ({"where": [Condition("tag", "has", "a")]}, "where[0].attribute"),
        ({"when": [Condition("surface", "is", "hompage")]}, "when[0].value"),
        ({"when": [Condition("category", "is", "x")]}, "when[0].attribute"),
        ({"when": [Condition("weekday", "in", ("monday", "mittwoch"))]}, "when[0].value"),
        ({"action": Boost(1.0)}, "action.factor"),
        ({"action": Bury(float("nan"))}, "action.factor"),
        ({"action": Pin(0)}, "action.position"),
        ({"action": AtLeast(3, 2)}, "action.count"),
        ({"action": AtMost(-1, 2)}, "action.count"),
        ({"action": AtLeast(1, 2, "x" * 65)}, "action.label"),
        ({"starts": datetime(2026, 1, 1)}, "starts"),  # noqa: DTZ001
        ({"starts": datetime(2026, 1, 1, tzinfo=UTC), "ends": datetime(2026, 1, 1, tzinfo=UTC)}, "ends"),
        ({"priority": 10**9}, "priority"),
    ],
)
def test_wrong_rules_are_refused(changed: dict[str, Any], field: str) -> None:
    with pytest.raises(NearlineError) as refused:
        checked_rule(msgspec.structs.replace(rule("fine", Exclude(), "a"), **changed), KINDS)
    assert refused.value.field == field
    assert refused.value.remedy


@settings(max_examples=100, deadline=None)
@given(tag_sets, st.lists(st.tuples(actions, st.sampled_from("abc")), min_size=1, max_size=4), st.integers(2, 15))
def test_chance_brings_in_no_more_than_an_upper_quota_allows(
    tags: list[tuple[str, ...]], given_rules: list[tuple[Any, str]], size: int
) -> None:
    world = under(tags, *[rule(f"r{n:02}", action, tag) for n, (action, tag) in enumerate(given_rules)])
    for seed in range(10):
        due, drawn, _ = held_off(world, len(tags), size, seed)
        for action, tag in given_rules:
            if isinstance(action, AtMost):
                first = min(action.first, size)
                before, after = (sum(tag in tags[item] for item in order[:first]) for order in (due, drawn))
                assert after <= max(action.count, before)


def test_what_an_upper_quota_has_room_for_may_be_drawn_and_with_its_exact_probability() -> None:
    n, size, drawn_at = 30, 10, np.zeros((10, 30))
    tags = [("a",) if place in (0, 12, 13, 14, 15) else () for place in range(n)]
    world = under(tags, rule("few", AtMost(3, 10), "a"))
    for seed in range(4000):
        due, drawn, said = held_off(world, n, size, seed)
        drawn_at[np.arange(size), drawn[:size]] += 1
    assert due[:size] == list(range(10))
    # One stands in the list, so two more may be drawn, and of those the two best.
    assert [bool(drawn_at[:, item].any()) for item in (12, 13, 14, 15)] == [True, True, False, False]
    assert said.propensities is not None
    # Nine free places, each drawn with 5 / 9, of a pool of eighteen.
    expected = 4000 * 5 / 9 / 18
    assert np.abs(drawn_at[1:, [12, 13, 16, 29]] - expected).max() < 5 * np.sqrt(expected)
    assert float(said.propensities[1:size].min()) == pytest.approx(5 / 9 / 18, rel=1e-5)
