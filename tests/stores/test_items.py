"""Registered items come back as they were given, whatever is remembered of them decoded."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.schema.item import Item
from nearline.stores import items as held
from nearline.stores.items import Items, Metadata, loaded

TEXT = st.text(max_size=8)
VALUES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT
ITEM = st.builds(
    Item,
    item_id=st.sampled_from("abcdef"),
    title=TEXT,
    category=TEXT,
    price=st.none() | st.floats(0, 1e6),
    tags=st.lists(TEXT, max_size=2).map(tuple),
    created_at=st.integers(0, 2**41),
    available=st.booleans(),
    attributes=st.dictionaries(TEXT, VALUES | st.lists(VALUES, max_size=2), max_size=2),
    owner=TEXT,
    regions=st.lists(TEXT, max_size=2).map(tuple),
)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["put", "withdraw", "get"]), ITEM)))
def test_items_are_a_dictionary(acts: list[tuple[str, Item]]) -> None:
    items, plain = Items(), dict[str, Item]()
    for act, item in acts:
        name = item.item_id
        if act == "put":
            items.put(ord(name) - ord("a"), item)
            plain[name] = item
        elif act == "withdraw":
            assert items.withdraw(name) == (plain.pop(name, None) is not None)
        else:
            assert items.get(name) == plain.get(name)
    assert (len(items), list(items.items())) == (len(plain), list(plain.items()))
    assert [item for page in loaded(items.dump()) for item in page] == list(plain.values())
    for name, item in plain.items():
        shown = msgspec.json.decode(items.fragment(ord(name) - ord("a")), type=Metadata)
        assert shown == Metadata(item.title, item.category, item.brand, item.price, item.image_url, item.tags, item.attributes)


def test_a_large_catalogue_is_written_and_read_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "REMEMBERED", 7)
    items, given = Items(), [Item(f"i{place}", f"Line\n{place}", created_at=place) for place in range(2 * held.PAGE + 1)]
    for place, item in enumerate(given):
        items.put(place, item)
    assert [items[item.item_id] for item in given] == given
    pages = list(loaded(items.dump()))
    assert ([len(page) for page in pages], [item for page in pages for item in page]) == ([held.PAGE, held.PAGE, 1], given)
    with pytest.raises(KeyError):
        items["i-1"]
    assert items.get("i-1", Item("")) == Item("")
