"""Sessions: what waits for a login, what is carried, and how much is kept."""

from __future__ import annotations

import msgspec
import numpy as np

from nearline.app.event_types import event_types
from nearline.schema.clock import DAY
from nearline.schema.event import Record
from nearline.schema.ids import visitor_key
from nearline.schema.kinds import Kinds
from nearline.stores.encode import events_from_records, events_from_table, table_from_records
from nearline.stream.sessions import PER_SESSION, SESSIONS, Sessions

NOW = 1_760_000_000_000
KINDS = Kinds(event_types(["view", "click"]))


def event(user: str, item: str, session: str = "s", at: int = NOW) -> Record:
    return Record(
        f"id-{user}-{item}", "click", user, item, at, at, session, "list-1", category="Toys", price=3.0, device="mobile"
    )


def test_a_login_carries_once_and_in_order() -> None:
    sessions, before = Sessions(), [event("", "a"), event("", "b")]
    assert sessions.merged(before, NOW) is before
    login = [event("ann", "c"), event("ann", "d"), event("", "x", "other")]
    merged = sessions.merged(login, NOW + 1)
    assert [(r.user_id, r.item_id, r.event_type) for r in merged] == [
        ("ann", "a", "$carried:click"),
        ("ann", "b", "$carried:click"),
        ("ann", "c", "click"),
        ("ann", "d", "click"),
        ("", "x", "click"),
    ]
    assert [r.event_id for r in merged[:2]] == ["$carried:id--a", "$carried:id--b"]
    assert "s" not in sessions
    assert "other" in sessions
    assert sessions.merged(login[:2], NOW) == login[:2]


def test_what_could_not_be_written_waits_again() -> None:
    sessions = Sessions()
    sessions.merged([event("", "a"), event("", "b")], NOW)
    lost = sessions.merged([event("ann", "c")], NOW)
    sessions.put_back(lost)
    assert sessions.merged([event("ann", "c")], NOW) == lost


def test_a_start_finds_who_waits() -> None:
    sessions = Sessions()
    stored = [event("", "a"), event("", "b", "t"), event("ann", "c", "t"), Record("", "$gender", "", "", NOW, NOW, "s")]
    sessions.follow(stored)
    assert [r.item_id for r in sessions.carried("bob", "s", NOW)] == ["a"]
    assert sessions.carried("bob", "t", NOW) == []


def test_bounds() -> None:
    sessions = Sessions()
    sessions.merged([event("", str(n)) for n in range(PER_SESSION + 9)], NOW)
    assert [r.item_id for r in sessions.carried("ann", "s", NOW)] == [str(n) for n in range(9, PER_SESSION + 9)]
    sessions.merged([event("", "old"), event("", "new", at=NOW + DAY)], NOW)
    assert [r.item_id for r in sessions.carried("ann", "s", NOW + DAY + 1)] == ["new"]
    for n in range(SESSIONS + 5):
        sessions.merged([event("", "a", f"visit-{n}")], NOW)
    assert "visit-4" not in sessions
    assert "visit-5" in sessions


def test_carried_events_are_their_user_s_own_in_log_and_lake() -> None:
    sessions = Sessions()
    sessions.merged([event("", "a")], NOW)
    records = list(sessions.merged([event("ann", "c")], NOW))
    numbers = events_from_records(records, 5, KINDS)
    assert numbers["own"].tolist() == [1, 0]
    assert numbers["kind"].tolist() == [KINDS.place("click")] * 2
    assert numbers["user"].tolist() == [visitor_key("ann", "")] * 2
    assert numbers["shown"].tolist() == [0, 1]
    from_lake = events_from_table(table_from_records(records, "user_events", 5, "default"), KINDS)
    assert numbers.tobytes() == from_lake.tobytes()
    said = [msgspec.structs.replace(records[1], event_type=name) for name in ("$age_group", "$interest")]
    assert events_from_records(said, 0, KINDS)["own"].all()
    assert np.array_equal(events_from_records(said, 0, KINDS)["role"], [8, 8])
