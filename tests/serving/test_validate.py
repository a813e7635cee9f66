from __future__ import annotations

from typing import Any, cast, get_args

import msgspec
import pytest
from fake_engine import NOW, FakeCatalog

from nearline.app.attributes import Attribute, Category, Number, Tags, Text, Timestamp
from nearline.app.definition import App
from nearline.schema.clock import VirtualClock
from nearline.schema.errors import NearlineError
from nearline.schema.event import DEVICES
from nearline.schema.item import Item
from nearline.serving import plain_events
from nearline.serving.bodies import MalformedError
from nearline.serving.validate import Accepted, EventValidator
from nearline.serving.validate_items import ItemValidator
from nearline.stores.catalog import Catalog

GOOD: dict[str, Any] = {"event_type": "click", "user_id": "u", "item_id": "a"}
KNOWN = FakeCatalog({"a": Item("a", category="Home > Kitchen", brand="Acme", price=9.5)})


def validate(body: object) -> Accepted:
    app = App(events=["view", "click", "purchase", "search"])
    validator = EventValidator(app, cast(Catalog, KNOWN), VirtualClock(NOW), 60)
    return validator.validate(body if isinstance(body, bytes) else msgspec.json.encode(body))


def test_an_event_with_everything() -> None:
    sent = {
        "event_type": "purchase", "user_id": 7, "item_id": "a", "timestamp": NOW - 5, "event_id": "e1",
        "context": {"page": "cart", "position": 0, "request_id": "r", "session_id": "s", "device": "mobile",
                    "location": "Paris"},
        "event_value": {"rating": 4, "dwell_ms": 1200, "price": 8, "watch_percent": 90.5, "query": "pan"},
    }  # fmt: skip
    out = validate(sent)
    (record,) = out.records
    assert out.event_ids == ["e1"]
    assert not out.rejected
    assert out.unknown_items == 0
    assert (record.user_id, record.timestamp, record.ingested_at) == ("7", NOW - 5, NOW)
    assert (record.page, record.position, record.request_id, record.session_id) == ("cart", 0, "r", "s")
    assert (record.device, record.rating, record.dwell_ms, record.value) == ("mobile", 4.0, 1200, 8.0)
    assert (record.category, record.brand, record.price) == ("Home > Kitchen", "Acme", 9.5)
    rest = {"location": "Paris", "watch_percent": 90.5, "query": "pan"}
    assert msgspec.json.decode(record.context) == rest


def test_what_the_server_assigns() -> None:
    out = validate([GOOD] * 3)
    assert len({record.event_id for record in out.records}) == 3
    assert all(len(record.event_id) == 32 and record.timestamp == NOW for record in out.records)
    assert [record.event_id for record in out.records] == out.event_ids
    assert {record.context for record in out.records} == {"{}"}


def test_the_three_forms_and_an_unknown_item() -> None:
    other = {**GOOD, "item_id": 3}
    for body in (other, [other], {"events": [other]}):
        out = validate(body)
        assert [record.item_id for record in out.records] == ["3"]
        assert out.unknown_items == 1
        assert out.records[0].price is None


@pytest.mark.parametrize(
    ("timestamp", "milliseconds"),
    [
        (1_700_000_000, 1_700_000_000_000),
        (1_700_000_000.25, 1_700_000_000_250),
        (1_700_000_000_123, 1_700_000_000_123),
        (1_700_000_000_123.4, 1_700_000_000_123),
        ("2024-05-01T12:00:00Z", 1_714_564_800_000),
        ("2024-05-01T14:00:00.5+02:00", 1_714_564_800_500),
        (NOW + 60_000, NOW + 60_000),
        (700_000_000, 700_000_000_000),
    ],
)
def test_forms_of_time(timestamp: object, milliseconds: int) -> None:
    assert validate({**GOOD, "timestamp": timestamp}).records[0].timestamp == milliseconds


BAD: list[tuple[dict[str, Any], str, Any, str]] = [
    ({"event_type": "clik"}, "event_type", "clik", 'did you mean "click"?'),
    ({"event_type": "x" * 5000}, "event_type", "x" * 197 + "...", "there are view"),
    ({"event_type": 3}, "event_type", 3, "give text, not a whole number"),
    ({"event_type": "$erase"}, "event_type", "$erase", "no such event type"),
    ({"user_id": ""}, "user_id", "", "session_id for an anonymous visitor"),
    ({"user_id": None}, "user_id", None, "give a whole number or text, not null"),
    ({"user_id": "u" * 257}, "user_id", "u" * 197 + "...", "at most 256"),
    ({"user_id": "a\0b"}, "user_id", "a\0b", "without NUL"),
    ({"item_id": ""}, "item_id", "", "give its id"),
    ({"item_id": 1.5}, "item_id", 1.5, "not a number"),
    ({"item_id": True}, "item_id", True, "not true or false"),
    ({"event_id": "e" * 300}, "event_id", "e" * 197 + "...", "at most 256"),
    ({"timestamp": NOW + 60_001}, "timestamp", NOW + 60_001, "ahead of the clock"),
    ({"timestamp": -1}, "timestamp", -1, "between 1990"),
    ({"timestamp": 631_151_999}, "timestamp", 631_151_999, "between 1990"),
    ({"timestamp": 10**400}, "timestamp", repr(10**400)[:197] + "...", "between 1990"),
    ({"timestamp": "2024-05-01T12:00:00"}, "timestamp", "2024-05-01T12:00:00", "zone is missing"),
    ({"timestamp": "yesterday"}, "timestamp", "yesterday", "ISO 8601"),
    ({"colour": "red"}, "colour", "red", "there is no such field"),
    ({"contxt": {}}, "contxt", "{}", 'did you mean "context"?'),
    ({"context": []}, "context", "[]", "give an object, not an array"),
    ({"context": {"position": "2"}}, "context.position", "2", "whole number"),
    ({"context": {"position": -1}}, "context.position", -1, "whole number"),
    ({"context": {"page": ["x"]}}, "context.page", "['x']", "give text"),
    ({"context": {"request_id": "r" * 257}}, "context.request_id", "r" * 197 + "...", "at most 256"),
    ({"context": {"note": "x" * 20_000}}, "context", "{'note'", "below 16,384"),
    ({"context": {"n": 2**70}}, "context", "{'n'", ""),
    ({"event_value": {"rating": 11}}, "event_value.rating", 11, "from 0 to 10"),
    ({"event_value": {"rating": True}}, "event_value.rating", True, "from 0 to 10"),
    ({"event_value": {"dwell_ms": -1}}, "event_value.dwell_ms", -1, "whole number"),
    ({"event_value": {"dwell_ms": 3.5}}, "event_value.dwell_ms", 3.5, "whole number"),
    ({"event_value": {"price": "9"}}, "event_value.price", "9", "give a number"),
    ({"event_value": {"watch_percent": 101}}, "event_value.watch_percent", 101, "from 0 to 100"),
    ({"event_value": {"query": 5}}, "event_value.query", 5, "give text"),
]


@pytest.mark.parametrize(("change", "field", "value", "remedy"), BAD, ids=[str(bad[0])[:40] for bad in BAD])
def test_one_bad_event_is_rejected_alone(change: dict[str, Any], field: str, value: Any, remedy: str) -> None:
    out = validate(msgspec_free([GOOD, {**GOOD, **change}, GOOD]))
    if change == {"context": {"n": 2**70}} and not out.rejected:  # msgspec may read it as a float
        return
    assert len(out.records) == 2
    assert [one is None for one in out.event_ids] == [False, True, False]
    (rejection,) = out.rejected
    assert (rejection.index, rejection.field) == (1, field)
    if field == "context" and isinstance(value, str) and value.startswith("{"):
        assert rejection.value.startswith(value)
    else:
        assert rejection.value == value
    assert remedy in rejection.remedy


def msgspec_free(value: object) -> bytes:
    import json

    return json.dumps(value).encode()


def test_what_cannot_be_decoded_is_rejected_alone() -> None:
    good = msgspec.json.encode(GOOD)
    huge = good[:-1] + b',"event_value":{"rating":1e999}}'
    broken = b'{"event_type":"click","user_id":"\xff","item_id":"a"}'
    out = validate(b"[" + good + b"," + huge + b"]")
    assert [(r.index, r.field, r.remedy) for r in out.rejected] == [(1, "event_value", "give a finite number")]
    with pytest.raises(MalformedError, match="UTF-8"):
        validate(b"[" + good + b"," + broken + b"]")
    out = validate([GOOD, 3, None, {"user_id": "u"}])
    assert [(r.index, r.field, r.value) for r in out.rejected] == [
        (1, "body", 3),
        (2, "body", None),
        (3, "event_type", None),
    ]


@pytest.mark.parametrize("body", [b"", b"[", b"{", b"nul", b"\xff", b'{"a":' * 100_000, b"[" * 100_000, b'"\\ud800"'])
def test_not_json(body: bytes) -> None:
    with pytest.raises(MalformedError):
        validate(body)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (3, "body"),
        ("x", "body"),
        ([], "events"),
        ({"events": []}, "events"),
        ({"events": 3}, "events"),
        ({"events": [GOOD], "more": 1}, "more"),
        ([GOOD] * 1001, "events"),
    ],
)
def test_no_form_of_a_body(body: object, field: str) -> None:
    with pytest.raises(NearlineError) as caught:
        validate(body)
    assert caught.value.field == field
    assert not isinstance(caught.value, MalformedError)


ATTRIBUTES: dict[str, Attribute] = {
    "genre": Category(source_field="genres"),
    "weight": Number(),
    "blurb": Text(),
    "moods": Tags(),
    "released": Timestamp(),
}


def test_an_item_with_everything() -> None:
    validator = ItemValidator(App(events=["view"], attributes=ATTRIBUTES))
    sent = {
        "item_id": 5, "title": "Pan", "category": " Home>Kitchen > ", "brand": " Acme ", "price": 3,
        "tags": ["new"], "created_at": "2024-05-01T12:00:00Z", "genres": "A>B", "weight": 2.5,
        "attributes": {"blurb": "good", "moods": ["calm"], "released": 1_700_000_000},
    }  # fmt: skip
    out = validator.batch(msgspec.json.encode({"items": [sent, {"title": "no id"}]}))
    assert out.item_ids == ["5", None]
    assert [(r.index, r.field) for r in out.rejected] == [(1, "item_id")]
    attributes = {
        "genre": "A > B",
        "weight": 2.5,
        "blurb": "good",
        "moods": ["calm"],
        "released": 1_700_000_000_000,
    }
    made = Item("5", "Pan", "Home > Kitchen", "Acme", 3.0, ("new",), 1_714_564_800_000, attributes=attributes)
    assert out.items == [made]
    free = ItemValidator(App(events=["view"]))
    assert free.whole(b'{"attributes":{"any":[1,{"x":null}]}}', "i").attributes == {"any": [1, {"x": None}]}


BAD_ITEMS: list[tuple[dict[str, Any], str, str]] = [
    ({"titel": "x"}, "titel", 'did you mean "title"?'),
    ({"item_id": "other"}, "item_id", "repeat the one in the path"),
    ({"title": 3}, "title", "give text"),
    ({"title": "x" * 1001}, "title", "at most 1,000"),
    ({"price": -1}, "price", "from 0"),
    ({"price": "3"}, "price", "give a number"),
    ({"tags": "x"}, "tags", "give an array"),
    ({"tags": [""]}, "tags", "1 to 256"),
    ({"created_at": "soon"}, "created_at", "ISO 8601"),
    ({"available": "yes"}, "available", "true or false"),
    ({"attributes": {"gnre": "x"}}, "attributes.gnre", 'did you mean "genre"?'),
    ({"attributes": {"genre": 3}}, "attributes.genre", "give text"),
    ({"attributes": {"weight": "heavy"}}, "attributes.weight", "give a number"),
    ({"attributes": {"weight": True}}, "attributes.weight", "give a number"),
    ({"attributes": {"moods": "calm"}}, "attributes.moods", "list"),
    ({"attributes": {"released": []}}, "attributes.released", "ISO 8601"),
    ({"attributes": []}, "attributes", "give an object"),
    ({"attributes": {"blurb": "x" * 17_000}}, "attributes", "below 16,384"),
]


@pytest.mark.parametrize(("sent", "field", "remedy"), BAD_ITEMS, ids=[str(bad[0])[:40] for bad in BAD_ITEMS])
def test_bad_items(sent: dict[str, Any], field: str, remedy: str) -> None:
    validator = ItemValidator(App(events=["view"], attributes=ATTRIBUTES))
    body = msgspec.json.encode(sent)
    with pytest.raises(NearlineError) as caught:
        validator.whole(body, "i")
    assert caught.value.field == field
    assert remedy in caught.value.remedy
    with pytest.raises(NearlineError):
        validator.changed(body, Item("i"))


def test_changing_an_item() -> None:
    validator = ItemValidator(App(events=["view"]))
    item = Item("i", "T", "A > B", "X", 3.0, ("t",), 1_700_000_000_000, attributes={"a": 1, "b": 2})
    changed = validator.changed(b'{"price":null,"brand":"Y","attributes":{"a":null,"c":3}}', item)
    assert changed == Item("i", "T", "A > B", "Y", None, ("t",), 1_700_000_000_000, attributes={"b": 2, "c": 3})
    assert validator.changed(b"{}", item) == item
    assert validator.changed(b'{"attributes":null}', item).attributes == {}


PLAIN = {
    "event_type": "purchase", "user_id": 7, "item_id": "a", "timestamp": NOW - 5, "event_id": "e1", "session_id": "t",
    "context": {"page": "cart", "position": 0, "request_id": "r", "session_id": "s", "device": "mobile"},
    "event_value": {"rating": 4, "dwell_ms": 1200, "price": -8.25},
}  # fmt: skip


def careful(body: bytes) -> Accepted:
    app = App(events=["view", "click", "purchase", "search"])
    validator = EventValidator(app, cast(Catalog, KNOWN), VirtualClock(NOW), 60)
    validator._plain.records = lambda *_: None  # type: ignore[method-assign]
    return validator.validate(body)


def changed(path: tuple[str, ...], value: object) -> bytes:
    event = msgspec.json.decode(msgspec.json.encode(PLAIN))
    within = event
    for part in path[:-1]:
        within = within[part]
    within[path[-1]] = value
    return msgspec.json.encode([event])


VALUES: list[object] = [
    None, "", "x", "é" * 256, "é" * 257, "a\0", "tv", 0, -1, 3, 3.0, 11, 1e13, 10**20, 1_000_001, 2**31, True, [], {},
    "2025-10-01T00:00:00Z", NOW, NOW + 59_000, NOW + 61_000, NOW // 1000, float(NOW),
]  # fmt: skip


@pytest.mark.parametrize("path", [
    *((name,) for name in PLAIN), *(("context", name) for name in (*cast(Any, PLAIN["context"]), "other")),
    *(("event_value", name) for name in (*cast(Any, PLAIN["event_value"]), "query", "watch_percent")), ("other",),
])  # fmt: skip
def test_the_quick_way_says_what_the_careful_way_says(path: tuple[str, ...]) -> None:
    for value in VALUES:
        body = changed(path, value)
        quick, slow = validate(body), careful(body)
        if path == ("event_id",) and value == "":
            assert quick.event_ids != slow.event_ids
            continue
        assert quick == slow, value


def test_plain_events_take_the_quick_way() -> None:
    app = App(events=["view", "purchase"])
    plain = EventValidator(app, cast(Catalog, KNOWN), VirtualClock(NOW), 60)._plain
    for event in (PLAIN, {"event_type": "view", "user_id": "u", "item_id": "new"}):
        assert plain.records(msgspec.json.encode([event]), NOW, lambda n: lambda: "id") is not None
    assert get_args(plain_events.Device) == DEVICES[1:]
