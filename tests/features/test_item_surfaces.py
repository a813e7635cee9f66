"""Rates by surface: what an event answers, and what is made of few exposures."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest
from test_contract import context, key, read

from nearline.features.surfaces import SurfacesFeature
from nearline.schema.event import EventType, Record
from nearline.schema.kinds import Kinds
from nearline.schema.query import SURFACE_CODES
from nearline.stores.encode import events_from_records
from nearline.stores.state import MemoryState

KINDS = Kinds([EventType("seen", 0.0, "exposure"), EventType("click")])


def answers(event_type: str, item: str, n: int, request_id: str, page: str = "") -> list[Record]:
    return [Record("", event_type, "u", item, 1, 1, request_id=request_id, page=page)] * n


def test_an_item_is_judged_by_where_it_was_shown_and_elsewhere_while_little_is_known() -> None:
    feature = SurfacesFeature()
    state = MemoryState(feature.folds)
    records = answers("seen", "a", 200, "9f-cart") + answers("click", "a", 60, "9f-cart", "item")
    records += answers("seen", "a", 200, "9f-email") + answers("click", "a", 4, "old", "email")
    records += answers("click", "a", 500, "", "email") + answers("click", "a", 500, "9f-elsewhere", "shelf")
    state.register(np.array([key(n) for n in range(1, 5)], np.uint64))
    state.apply(events_from_records(records, 0, KINDS))
    slot = len(state.items) - 1
    row = state.rows["item_surfaces"][slot]
    assert row["clicks"].sum() == 64
    everywhere = 65 / 420
    for surface, shown, clicked in (("cart", 200, 60), ("email", 200, 4), ("homepage", 0, 0), ("no-such", 0, 0)):
        assert int(row["clicks"][SURFACE_CODES.get(surface, 1) - 1]) == clicked
        given = context(state, key(1), len(state.items))
        given = dataclasses.replace(given, query=msgspec.structs.replace(given.query, surface=surface))
        out = read(feature, given)[:, given.candidates.items.tolist().index(slot)]
        rate = (clicked + 20 * everywhere) / (shown + 20)
        assert out == pytest.approx([shown, rate, rate / everywhere], rel=1e-5)
