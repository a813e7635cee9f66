"""Numbers made from records and from the lake's table of the same records are the same bytes."""

from __future__ import annotations

import msgspec
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.schema.event import DEVICES, EventType, Record
from nearline.schema.ids import key, key32
from nearline.schema.kinds import Kinds
from nearline.stores.encode import (
    complete,
    events_from_records,
    events_from_table,
    records_from_table,
    table_from_records,
)

KINDS = Kinds(
    [EventType("view", role="view"), EventType("buy", weight=2.5, role="conversion"), EventType("find", role="search")]
)
text = st.one_of(st.just(""), st.sampled_from(["a", "b", "Home > Küche"]), st.text(max_size=8))
time = st.integers(-(2**62), 2**62)
number = st.none() | st.floats(-1e6, 1e6) | st.floats()
record = st.builds(
    Record,
    event_id=text,
    event_type=st.sampled_from(["view", "buy", "find", "$carried:find", "other", "$erase"]),
    user_id=text,
    item_id=text,
    timestamp=time,
    ingested_at=time,
    session_id=text,
    request_id=st.one_of(text, st.sampled_from(["9f-email", "-cart", "item", "9f-emails", "r-x"])),
    page=st.one_of(text, st.sampled_from(["homepage", "push"])),
    position=st.none() | st.integers(-(2**63), 2**63 - 1),
    rating=number,
    dwell_ms=st.none() | st.integers(-(2**63), 2**63 - 1),
    value=number,
    category=text,
    brand=text,
    price=number,
    device=st.sampled_from([*DEVICES, "fridge"]),
    context=st.one_of(text, text.map(lambda words: msgspec.json.encode({"query": words}).decode())),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(record, max_size=30), st.integers(0, 2**40))
def test_both_ways_give_the_same_bytes(records: list[Record], first: int) -> None:
    table = table_from_records(records, "user_events", first, "shop")
    expected = events_from_records(records, first, KINDS).tobytes()
    assert events_from_table(table, KINDS).tobytes() == expected
    halves = pa.concat_tables([table.slice(0, 7), table.slice(7)])  # several chunks, slices of a dictionary
    assert events_from_table(halves, KINDS).tobytes() == expected
    assert repr(records_from_table(table)) == repr(records)  # repr, since NaN is not itself


def test_numbers_of_one_event() -> None:
    full = Record(
        "e", "buy", "u", "i", 5, 6, "s", rating=4.25, dwell_ms=1500, value=2.0, category="c", brand="b",
        price=19.99, device="mobile",
    )  # fmt: skip
    one, anonymous = events_from_records([full, Record("e", "what", "", "", 7, 8, "s")], 41, KINDS)
    assert (one["offset"], one["ts"], one["user"], one["item"]) == (41, 5, key("u"), key("i"))
    assert (one["session"], one["category"], one["brand"]) == (key("session:s"), key32("c"), key32("b"))
    assert (one["price"], one["value"], one["rating"], one["dwell"]) == (19990, 2000, 425, 1500)
    assert (one["kind"], one["role"], one["weight"], one["device"]) == (2, 5, 2500, DEVICES.index("mobile"))
    odd = [Record("e", "buy", "u", "i", 5, 6, value=v, rating=v) for v in (0.0005, 0.0015, 1e300, None)]
    numbers = events_from_records(odd, 0, KINDS)  # half to even, held to the column's range
    assert numbers["value"].tolist() == [0, 2, 1 << 62, 0]
    assert numbers["rating"].tolist() == [0, 0, 32767, 0]
    assert anonymous["user"] == anonymous["session"] == key("session:s")
    assert (anonymous["offset"], anonymous["item"], anonymous["kind"], anonymous["role"]) == (42, 0, 0, 0)


def test_an_import_may_leave_columns_out() -> None:
    types = ["view", "buy"]
    table = pa.table({"user_id": [7, None], "action_type": types, "timestamp": [1, 2], "dwell_time": [1.5, None]})
    done = complete(table, "user_events", 10, "shop")
    first, second = records_from_table(done)
    assert (first.user_id, first.event_type, first.ingested_at, first.dwell_ms) == ("7", "view", 1, 1500)
    assert (second.user_id, second.dwell_ms, second.rating, second.context) == ("", None, None, "{}")
    assert done["offset"].to_pylist() == [10, 11]
