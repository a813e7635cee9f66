"""Masks over the catalogue are what asking each item says, whatever changed before."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.app.attributes import Attribute, Category, Number, Tags, Text, Timestamp, condition_kinds
from nearline.schema.clock import DAY, MINUTE
from nearline.schema.conditions import OPS, Condition, Kind, checked, moment, parsed, path
from nearline.schema.errors import NearlineError
from nearline.schema.item import Item
from nearline.stores.catalog import Catalog
from nearline.stores.state import MemoryState
from nearline.stores.world import OnlineWorld

NOW = 1_700_000_000_000
DECLARED: dict[str, Attribute] = {
    "color": Category(),
    "stock": Number(),
    "blurb": Text(),
    "moods": Tags(),
    "released": Timestamp(),
}
KINDS: Mapping[str, Kind] = condition_kinds(DECLARED)
PATHS = ["", "Film", "Film > Action", "Film > Action > Spy", "Filmstrip", "Film>Drama", "Book > Action"]
NAMES = ["", "red", "Red", "blue"]
WORDS = ["spy in space", "Space, the Spy!", "a red film", ""]
TIMES = [NOW - 40 * DAY, NOW - 3 * DAY, NOW - 3 * DAY + 1, NOW + DAY]


def text_lists(values: list[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3).map(tuple)


numbers = st.sampled_from([0.0, 0.1, 5.0, 19.99, 20.0])
ids = [f"i{n}" for n in range(8)]
items = st.builds(
    Item,
    item_id=st.sampled_from(ids),
    title=st.sampled_from(WORDS),
    category=st.sampled_from(PATHS),
    brand=st.sampled_from(NAMES),
    price=st.none() | numbers,
    tags=text_lists(["new", "sale"]) | st.just(()),
    created_at=st.sampled_from([0, *TIMES]),
    available=st.booleans(),
    attributes=st.fixed_dictionaries(
        {},
        optional={
            "color": st.sampled_from(PATHS),
            "stock": numbers,
            "blurb": st.sampled_from(WORDS),
            "moods": text_lists(["new", "dark"]).map(list),
            "released": st.sampled_from(TIMES),
        },
    ),
)


def values(kind: Kind, op: str) -> st.SearchStrategy[Any]:
    pool = {"id": ids, "category": PATHS, "text": WORDS, "tags": ["new", "sale", "dark"]}.get(kind, NAMES)
    if op in ("in", "not_in"):
        return text_lists(pool)
    if op.endswith("_days"):
        return st.sampled_from([1.0, 3.0, 39.5])
    if kind == "time":
        return st.sampled_from(["2023-11-11T22:13:20+00:00", "2023-11-14T23:13:20+01:00"])
    if kind == "number":
        return numbers
    if kind == "flag":
        return st.booleans()
    return st.sampled_from([text for text in pool if text or op in ("is", "not")])


asked = st.sampled_from(sorted(KINDS)).flatmap(
    lambda attribute: st.sampled_from(OPS[KINDS[attribute]]).flatmap(
        lambda op: st.builds(Condition, st.just(attribute), st.just(op), values(KINDS[attribute], op))
    )
)


def holds(item: Item, condition: Condition, now: int) -> bool:  # noqa: PLR0911
    """The condition asked of one item, in words rather than arrays."""
    attribute, op, value = condition.attribute, condition.op, condition.value
    negated = {"not": "is", "not_in": "in", "not_under": "under", "lacks": "has"}
    if op in negated:
        return not holds(item, Condition(attribute, negated[op], value), now)
    kind = KINDS[attribute]
    given: Any = item.attributes.get(attribute) if attribute in DECLARED else getattr(item, attribute)
    if kind == "category":
        given = path(given or "")
    if kind in ("id", "category", "text"):
        given = given or ""
    if kind == "time":
        if not given:
            return False
        if op.endswith("_days"):
            old = now // MINUTE * MINUTE - given
            return bool(old <= value * DAY) if op == "newer_than_days" else bool(old > value * DAY)
        return bool(given >= moment(str(value))) if op == "after" else bool(given < moment(str(value)))
    if op == "under":
        return bool(given == value or given.startswith(f"{value} > "))
    if op == "contains":
        have, want = (re.findall(r"\w+", text.casefold()) for text in (given, str(value)))
        return bool(want) and set(want) <= set(have)
    if kind == "tags":
        return any(tag in (given or ()) for tag in (value if isinstance(value, tuple) else (value,)))
    if op == "in":
        return given in value  # type: ignore[operator]
    if given is None:
        return False
    return (
        bool({"is": given == value, "at_least": given >= value, "at_most": given <= value}[op])
        if op != "is"
        else given == value
    )


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(items, max_size=6), min_size=1, max_size=4),
    st.lists(asked, min_size=1, max_size=3),
    st.sets(st.sampled_from(ids), max_size=2),
)
def test_masks_are_what_each_item_says(batches: list[list[Item]], given_conditions: list[Condition], gone: set[str]) -> None:
    state = MemoryState([])
    world = OnlineWorld(state, Catalog(state), KINDS)
    conditions = tuple(checked(one, KINDS, "filter") for one in given_conditions)
    for batch in batches:
        world.catalog.put(batch)
        compare(world, conditions)
    for item_id in gone:
        world.catalog.withdraw(item_id)
    compare(world, conditions)


def compare(world: OnlineWorld, conditions: tuple[Condition, ...]) -> None:
    catalog = world.catalog
    mask = world.attributes.mask(conditions, NOW)
    assert mask.dtype == np.bool_
    for slot, item_id in enumerate(catalog.ids):
        item = catalog.items.get(item_id)
        assert mask[slot] == (item is not None and all(holds(item, one, NOW) for one in conditions)), (item, conditions)
    beyond = np.array([0, len(catalog.ids) + 5], np.int32) if catalog.ids else np.array([3], np.int32)
    assert world.attributes.kept(conditions, NOW, beyond).tolist()[-1] is False


def test_many_changes_wait_for_the_renewal_and_are_then_right() -> None:
    state = MemoryState([])
    world = OnlineWorld(state, Catalog(state))
    world.attributes.renew()
    cheap = (checked(Condition("price", "at_most", 5), KINDS, "filter"),)
    world.catalog.put([Item(f"i{n}", price=9.0) for n in range(1000)])
    world.attributes.renew()
    assert not world.attributes.mask(cheap, NOW).any()
    world.catalog.put([Item(f"i{n}", price=1.0) for n in range(1000)])
    world.attributes.renew()
    assert world.attributes.mask(cheap, NOW).all()
    world.catalog.put([Item("i7", price=9.0)])
    assert np.flatnonzero(~world.attributes.mask(cheap, NOW)).tolist() == [7]


def test_time_passes() -> None:
    state = MemoryState([])
    world = OnlineWorld(state, Catalog(state))
    world.catalog.put([Item("old", created_at=NOW - 2 * DAY), Item("new", created_at=NOW - DAY)])
    young = (checked(Condition("created_at", "newer_than_days", 3), KINDS, "filter"),)
    for days, left in ((0, [True, True]), (1.5, [False, True]), (3, [False, False])):
        assert world.attributes.mask(young, NOW + int(days * DAY)).tolist() == left


@pytest.mark.parametrize(
    ("condition", "field", "says"),
    [
        (Condition("colour", "is", "red"), "where[2].attribute", 'did you mean "color"'),
        (Condition("color", "undr", "red"), "where[2].op", 'did you mean "under"'),
        (Condition("price", "at_most", "cheap"), "where[2].value", "give a number"),
        (Condition("price", "at_most", float("nan")), "where[2].value", "give a number"),
        (Condition("price", "is", True), "where[2].value", "give a number"),
        (Condition("available", "is", "yes"), "where[2].value", "true or false"),
        (Condition("brand", "in", "red"), "where[2].value", "give a list"),
        (Condition("brand", "in", ()), "where[2].value", "give a list"),
        (Condition("brand", "in", (1,)), "where[2].value", "give text"),  # type: ignore[arg-type]
        (Condition("category", "under", " > "), "where[2].value", "at least one character"),
        (Condition("released", "after", "2024-05-01T12:00:00"), "where[2].value", "zone"),
        (Condition("created_at", "newer_than_days", 0), "where[2].value", "days above 0"),
    ],
)
def test_wrong_conditions_are_refused_with_what_to_do(condition: Condition, field: str, says: str) -> None:
    with pytest.raises(NearlineError) as refused:
        checked(condition, KINDS, "where[2]")
    assert refused.value.field == field
    assert says in refused.value.remedy


def test_conditions_are_read_from_text() -> None:
    assert parsed("category:under:Film>Action", KINDS, "filter") == Condition("category", "under", "Film > Action")
    assert parsed("price:at_most:20", KINDS, "filter") == Condition("price", "at_most", 20.0)
    assert parsed("brand:in:red| blue", KINDS, "filter") == Condition("brand", "in", ("red", "blue"))
    assert parsed("title:is:a:b", KINDS, "filter") == Condition("title", "is", "a:b")
    assert parsed("available:is:true", KINDS, "filter") == Condition("available", "is", True)
    assert parsed("created_at:newer_than_days:30", KINDS, "filter") == Condition("created_at", "newer_than_days", 30.0)
    for text in ("", "price", "price:at_most", "price:at_most:cheap", "prise:is:1", "brand:in:", "available:is:1"):
        with pytest.raises(NearlineError) as refused:
            parsed(text, KINDS, "filter")
        assert refused.value.field == "filter"
        assert refused.value.value == text
