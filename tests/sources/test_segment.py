"""Segments: who is like others gets what they choose, backed by wider segments, and nobody is counted twice."""

from __future__ import annotations

import numpy as np

from nearline.app.event_types import event_types
from nearline.schema.clock import DAY
from nearline.schema.event import Events, empty_events
from nearline.schema.ids import key, key32
from nearline.schema.item import Item
from nearline.schema.kinds import RESERVED, Kinds
from nearline.schema.query import Query
from nearline.sources.segment import SegmentSource
from nearline.stores.catalog import Catalog
from nearline.stores.state import MemoryState
from nearline.stores.world import OnlineWorld

NOW = 1_760_000_000_000
KINDS = Kinds(event_types(["view", "click"]))


def events(rows: list[tuple[str, str, str]], first: int) -> Events:
    """Rows of (user, event type, item or value)."""
    out = empty_events(len(rows))
    out["offset"], out["ts"] = first + np.arange(len(rows)), NOW
    for row, (user, kind, about) in zip(out, rows, strict=True):
        row["user"], row["kind"] = key(user), KINDS.place(kind)
        if kind in RESERVED:
            row["category"], row["own"] = key32(about), 1
        else:
            row["item"] = key(about)
    out["role"], out["weight"] = KINDS.role[out["kind"]], KINDS.weight[out["kind"]]
    return out


def crowd() -> tuple[SegmentSource, OnlineWorld]:
    """A hundred young in DE choose a, a hundred old in FR choose b, three old in DE choose c; all choose z now and then."""
    source = SegmentSource()
    state = MemoryState(source.folds, source.state)
    world = OnlineWorld(state, Catalog(state))
    world.catalog.put([Item(name, available=name != "gone") for name in ("a", "b", "c", "z", "gone")])
    rows: list[tuple[str, str, str]] = []
    for name, age, place, item, n in (("y", "18-24", "DE", "a", 100), ("o", "65+", "FR", "b", 100), ("d", "65+", "DE", "c", 3)):
        for k in range(n):
            user = f"{name}{k}"
            rows += [(user, "$age_group", age), (user, "$location", place)]
            rows += [(user, "click", item)] * 3 + [(user, "click", "z"), (user, "click", "gone")]
    world.apply(events(rows, 0))
    source.bind(world, {})
    return source, world


def listed(source: SegmentSource, world: OnlineWorld, user: str, location: str = "", now: int = NOW) -> list[str]:
    query = Query(key(user), now, location=location)
    return [world.catalog.ids[slot] for slot in source.fetch(query, world.hydrate(query.visitor, now), 10).items.tolist()]


def test_a_new_visitor_gets_what_his_like_choose() -> None:
    source, world = crowd()
    world.apply(events([("ann", "$age_group", "18-24"), ("bob", "$age_group", "65+"), ("cem", "$location", "FR")], 10_000))
    assert listed(source, world, "ann")[0] == "a"
    assert listed(source, world, "bob")[0] == "b"
    assert listed(source, world, "cem")[0] == "b"
    assert listed(source, world, "nobody", location="DE")[0] == "a"
    assert "gone" not in listed(source, world, "ann")
    # Three of his kind are too few to drown out all of the old, or all of DE; they lift what they choose.
    world.apply(events([("dan", "$age_group", "65+"), ("dan", "$location", "DE")], 10_100))
    assert listed(source, world, "dan")[0] == "b"
    shares = dict(zip(listed(source, world, "dan"), range(9), strict=False))
    assert shares["c"] > shares["b"]
    # Who withdraws what he said is like everyone again.
    world.apply(events([("ann", "$age_group", "")], 10_200))
    assert listed(source, world, "ann") == listed(source, world, "nobody")


def test_what_is_carried_is_not_counted_again() -> None:
    source, world = crowd()
    before = world.state.dump()["part.segments.weights"].copy()
    carried = events([("new", "click", "c")] * 50, 10_000)
    carried["own"] = 1
    world.apply(carried)
    assert np.array_equal(world.state.dump()["part.segments.weights"], before)
    world.state.forget(key("y0"))
    assert not world.state.dump()["part.segments.profiles"][world.state.users.find_one(key("y0"))].any()
    assert listed(source, world, "y1")[0] == "a"


def test_segments_forget_by_half_every_two_days() -> None:
    source, world = crowd()
    later = events([("o1", "click", "z")], 10_000)
    later["ts"] = NOW + 4 * DAY
    before = world.state.dump()["part.segments.weights"][0].copy()
    world.apply(later)
    after = world.state.dump()["part.segments.weights"][0]
    slot = world.catalog.slot("a")
    assert after[slot] == before[slot] // 4
    assert listed(source, world, "o1", now=NOW + 4 * DAY)[0] == "b"
