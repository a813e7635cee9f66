"""What every feature keeps to, whatever it is: shapes, dtypes, names, and that it only reads."""

from __future__ import annotations

import inspect
from typing import cast

import numpy as np
import pytest

from nearline.app.event_types import event_types
from nearline.features.retrieval import RetrievalFeature
from nearline.pipeline.discovery import discover
from nearline.schema.candidates import F32, Candidates
from nearline.schema.clock import DAY
from nearline.schema.components import Feature, ItemColumns, ReadContext
from nearline.schema.event import Events, empty_events
from nearline.schema.kinds import Kinds
from nearline.schema.query import Query
from nearline.stores.state import MemoryState

CLASSES = cast(dict[str, type[Feature]], discover("nearline.features", ("name", "columns", "read")))
NAMES = (*CLASSES, "retrieval")
START, ITEMS, SENTINEL = 1_700_000_000_000, 40, np.float32(-12345.5)
KINDS = Kinds(event_types(["seen", "view", "click", "add_to_cart", "rate", "purchase", "search", "dislike"]))


def key(n: int) -> int:
    return n << 36


def make(name: str) -> Feature:
    return RetrievalFeature(("covisit", "trending")) if name == "retrieval" else CLASSES[name]()


def events(n: int = 3000) -> Events:
    rng, out = np.random.default_rng(11), empty_events(n)
    out["offset"], out["ts"] = np.arange(n), START + rng.integers(0, 3 * DAY, n)
    out["user"] = rng.integers(1, 30, n).astype(np.uint64) << np.uint64(36)
    out["item"] = rng.integers(0, ITEMS, n).astype(np.uint64) << np.uint64(36)
    out["category"], out["brand"] = rng.integers(0, 6, n), rng.integers(0, 6, n)
    out["kind"] = rng.integers(0, len(KINDS) + 1, n)
    out["role"], out["weight"] = KINDS.role[out["kind"]], KINDS.weight[out["kind"]]
    out["price"], out["value"], out["rating"] = rng.integers(0, 9000, (3, n))
    return out


@pytest.fixture(scope="module")
def state() -> MemoryState:
    every = [make(name) for name in NAMES]
    out = MemoryState([fold for feature in every for fold in feature.folds])
    out.register(np.array([key(n) for n in range(1, ITEMS + 5)], np.uint64))
    out.apply(events())
    return out


def context(state: MemoryState, user: int, n: int = ITEMS, now: int = START + 3 * DAY) -> ReadContext:
    rng, size = np.random.default_rng(2), len(state.items)
    blank = np.arange(size) % 7 == 0
    columns = ItemColumns(
        key=state.items.keys.copy(),
        category=np.where(blank, 0, rng.integers(0, 6, size)).astype(np.uint32),
        brand=np.where(blank, 0, rng.integers(0, 6, size)).astype(np.uint32),
        price=np.where(blank, np.nan, rng.random(size) * 50).astype(np.float32),
        created=np.where(blank, 0, START - DAY).astype(np.int64),
        available=np.ones(size, np.bool_),
    )
    items = rng.permutation(size)[:n].astype(np.int32)
    n = len(items)
    scores = rng.random((n, 2)).astype(np.float32) * (rng.random((n, 2)) < 0.5)
    candidates = Candidates(items, scores, scores.copy(), np.zeros(n, np.int32), np.full(n, -1, np.int32))
    query = Query(user, now, device="mobile", surface="cart")
    return ReadContext(query, state.hydrate(user, now), candidates, state.rows, columns)


def read(feature: Feature, given: ReadContext, fill: np.float32 = SENTINEL) -> F32:
    out = np.full((len(feature.columns), len(given.candidates)), fill, np.float32)
    feature.read(given, out)
    return out


def everything(given: ReadContext) -> list[bytes]:
    columns = [getattr(given.columns, name) for name in ItemColumns.__slots__]
    lists = [given.candidates.items, given.candidates.retrieval, given.candidates.ranks]
    return [a.tobytes() for a in (*columns, *lists, *given.rows.values(), *given.user.rows.values())]


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_is(name: str) -> None:
    feature = make(name)
    assert feature.name == name
    assert feature.columns
    assert all(isinstance(column, str) and column.isidentifier() for column in feature.columns)
    assert isinstance(feature.time_based, bool)
    for thing in (type(feature), type(feature).read, inspect.getmodule(type(feature))):
        assert (thing.__doc__ or "").strip()
    for fold in feature.folds:
        assert (type(fold).__doc__ or "").strip()
        assert fold.entity in ("user", "item")
        assert fold.tier in ("hot", "history")
        assert fold.dtype.itemsize > 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("user", [key(3), key(999), 0], ids=["known", "unknown", "none"])
@pytest.mark.parametrize("n", [ITEMS, 1, 0])
def test_it_fills_every_cell_and_changes_nothing(name: str, user: int, n: int, state: MemoryState) -> None:
    feature, given = make(name), context(state, user, n)
    before = everything(given)
    out = read(feature, given)
    assert everything(given) == before
    assert out.shape == (len(feature.columns), n)
    assert not (out == SENTINEL).any()
    assert not np.isinf(out).any()
    for again in (read(feature, given, np.float32(np.nan)), read(make(name), given)):
        assert again.tobytes() == out.tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_a_candidate_s_columns_do_not_depend_on_the_others(name: str, state: MemoryState) -> None:
    feature, given = make(name), context(state, key(3))
    whole = read(feature, given)
    places = np.random.default_rng(1).permutation(ITEMS)[:17]
    part = ReadContext(given.query, given.user, given.candidates.take(places), given.rows, given.columns)
    assert read(feature, part).tobytes() == np.ascontiguousarray(whole[:, places]).tobytes()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("later", [-3 * DAY, 30 * 3_600_000, 500 * DAY], ids=["before", "hot row gone", "all gone"])
def test_no_moment_gives_infinity(name: str, later: int, state: MemoryState) -> None:
    out = read(make(name), context(state, key(3), now=START + 3 * DAY + later))
    assert not np.isinf(out).any()
    assert not (out == SENTINEL).any()


@pytest.mark.parametrize("name", NAMES)
def test_who_is_away_for_long_reads_as_who_never_came(name: str, state: MemoryState) -> None:
    now = START + 500 * DAY
    away, new = context(state, key(3), now=now), context(state, key(999), now=now)
    assert read(make(name), away).tobytes() == read(make(name), new).tobytes()


def test_an_item_without_category_takes_its_place_among_the_last() -> None:
    feature = make("last_items")
    state, walk = MemoryState(feature.folds), empty_events(3)
    walk["offset"], walk["ts"], walk["user"], walk["role"] = np.arange(3), START, key(1), 3
    walk["item"], walk["category"] = [key(1), key(2), key(3)], [4, 4, 0]
    state.apply(walk)
    given = context(state, key(1), now=START)
    given.columns.category[:] = 4
    assert read(feature, given)[0].tolist() == [np.float32(2 / 3)] * 3
    assert read(feature, given)[1].tolist() == [0] * 3


def test_columns_are_different_and_the_hot_row_is_small(state: MemoryState) -> None:
    columns = [column for name in NAMES for column in make(name).columns]
    assert len(set(columns)) == len(columns)
    sizes = state.row_bytes().values()
    assert sum(size for entity, tier, size in sizes if (entity, tier) == ("user", "hot")) <= 200
