"""Folds and features against the oracle that keeps the raw events."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from event_streams import EDGES, ITEMS, KINDS, START, USERS, cuts, features, raw_events, split, to_events
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Card, Oracle, Raw, kept, last_searches

from nearline.features.affinity import AffinityFold
from nearline.features.history import HistoryAgeFeature, HistoryFeature, newest_first
from nearline.schema.candidates import F32, Candidates
from nearline.schema.clock import DAY, HOUR, MINUTE
from nearline.schema.components import Feature, ItemColumns, ReadContext
from nearline.schema.event import Role
from nearline.schema.query import Query
from nearline.stores.state import MemoryState

HISTORY = 7
CARDS = [Card(k, p % 8, p % 5, float("nan") if p == 2 else 1.5 * p + 1) for p, k in enumerate([*ITEMS[1:], 99 << 50])]
STATELESS = {"hour", "weekday", "device", "surface", "price", "item_days"}
COUNTS = ("_1d", "_7d", "_views", "_events", "_length", "_times", "_touches", "_clicks", "_intents")
LATER = st.one_of(
    st.integers(-3 * DAY, 3 * DAY),
    st.integers(0, 4 * HOUR),
    st.integers(0, 500 * DAY),
    st.sampled_from([0, MINUTE, *EDGES, *(edge + 1 for edge in EDGES)]),
)


def under_test() -> list[Feature]:
    """A short history, so that its ring goes round."""
    short: dict[str, Feature] = {"history": HistoryFeature(HISTORY), "history_age": HistoryAgeFeature(HISTORY)}
    return [short.get(feature.name, feature) for feature in features()]


FEATURES = under_test()
TABLE = ItemColumns(
    key=np.array([c.key for c in CARDS], np.uint64),
    category=np.array([c.category for c in CARDS], np.uint32),
    brand=np.array([c.brand for c in CARDS], np.uint32),
    price=np.array([c.price for c in CARDS], np.float32),
    created=np.full(len(CARDS), START - 40 * DAY, np.int64),
    available=np.ones(len(CARDS), np.bool_),
)


def new_state() -> MemoryState:
    state = MemoryState([fold for feature in FEATURES for fold in feature.folds])
    assert state.register(TABLE.key).tolist() == list(range(len(CARDS)))
    return state


def read(state: MemoryState, user: int, now: int) -> dict[str, F32]:
    n = len(CARDS)
    none, items = np.zeros((n, 0), np.float32), np.arange(n, dtype=np.int32)
    candidates = Candidates(items, none, none, np.zeros(n, np.int32), np.full(n, -1, np.int32))
    context = ReadContext(Query(user, now), state.hydrate(user, now), candidates, state.rows, TABLE)
    out: dict[str, F32] = {}
    for feature in FEATURES:
        block = np.full((len(feature.columns), n), -777, np.float32)
        feature.read(context, block)
        out |= dict(zip(feature.columns, block, strict=True))
    return out


def tied(raw: list[Raw], user: int) -> bool:
    """Whether purchases at one moment leave open which four categories were the last."""
    bought = {(e.ts, e.category) for e in raw if e.user == user and e.role == Role.CONVERSION and e.category}
    return len({c for _, c in bought}) > 4 and len({ts for ts, _ in bought}) < len(bought)


def compare(state: MemoryState, raw: list[Raw], user: int, now: int) -> None:
    got, want = read(state, user, now), Oracle(raw, HISTORY).columns(user, now)
    assert set(want) == set(got) - STATELESS
    for name, column in want.items():
        if name == "since_category_purchase" and tied(raw, user):
            continue
        expected = np.array([column(card) for card in CARDS], np.float64).astype(np.float32)
        if name.endswith(COUNTS) and not name.endswith(("ctr_7d", "cvr_7d")):
            np.testing.assert_array_equal(got[name], expected, err_msg=name)
        else:
            # Popularity adds and takes away hundredths in float32.
            tolerance = 1e-2 if name.startswith("popularity") else 1.5 if name == "item_visitors" else 1e-6
            np.testing.assert_allclose(got[name], expected, 3e-6, tolerance, err_msg=name)


@settings(max_examples=80, deadline=None)
@given(raw=raw_events(), places=cuts(), later=st.lists(LATER, min_size=6, max_size=6))
def test_every_column_is_what_the_raw_events_say(raw: list[Raw], places: list[int], later: list[int]) -> None:
    state, seen = new_state(), 0
    for step, batch in zip(later, split(to_events(raw), places), strict=False):
        state.apply(batch)
        seen += len(batch)
        for user in (*USERS[1:], 12345):
            latest = max((e.ts for e in raw[:seen] if e.user == user), default=START)
            compare(state, raw[:seen], user, latest + step)


def test_long_histories_keep_the_newest_in_order() -> None:
    state = MemoryState(HistoryFeature().folds)
    for count in range(1, 260):
        event = Raw(START + count * 1000, USERS[1], count << 40, 2, Role.VIEW, 1000, 0, 0, 0, 0, 0)
        state.apply(to_events([event], count))
        row = state.hydrate(USERS[1], event.ts).rows["history"]
        items, seconds, _ = newest_first(row)
        assert (items >> np.uint64(40)).tolist() == list(range(count, max(0, count - 50), -1))
        assert (seconds - START // 1000).tolist() == list(range(count, max(0, count - 50), -1))


@settings(max_examples=60, deadline=None)
@given(raw=raw_events(), places=cuts())
def test_the_last_searches_are_kept_as_words_and_times(raw: list[Raw], places: list[int]) -> None:
    state = new_state()
    for batch in split(to_events(raw), places):
        state.apply(batch)
    for user in USERS[1:]:
        now = max((e.ts for e in raw if e.user == user), default=START)
        row = state.hydrate(user, now).rows["searches"][0]
        want = last_searches(kept([e for e in raw if e.user == user], 400 * DAY, now))
        want += [((0, 0, 0, 0), 0)] * (3 - len(want))
        assert [(tuple(w), s) for w, s in zip(row["words"].tolist(), row["seconds"].tolist(), strict=True)] == want


@settings(max_examples=60, deadline=None)
@given(chosen=st.lists(st.tuples(st.integers(1, 30), st.integers(1, 9)), max_size=120))
def test_affinity_beyond_its_places_is_too_high_by_at_most_the_lightest(
    chosen: list[tuple[int, int]],
) -> None:
    """Space-saving (Metwally et al. 2005): true <= kept <= true + lightest, and the sum is exact."""
    fold = AffinityFold()
    state = MemoryState([fold])
    raw = [Raw(START, USERS[1], ITEMS[1], 2, Role.CLICK, w * 1000, c, c, 0, 0, 0) for c, w in chosen]
    state.apply(to_events(raw))
    true: Counter[int] = Counter()
    for category, weight in chosen:
        true[category] += weight * 100
    row = state.hydrate(USERS[1], START).rows["affinity"][0]
    for names, weights, places in (("categories", "category_weights", 8), ("brands", "brand_weights", 4)):
        found = {int(k): int(w) for k, w in zip(row[names], row[weights], strict=True) if k}
        lightest = min(found.values()) if len(found) == places else 0
        assert sum(found.values()) == true.total()
        assert all(true[k] <= w <= true[k] + lightest for k, w in found.items())
        assert all(w <= lightest for k, w in true.items() if k not in found)
        assert lightest <= true.total() / places


def test_weights_stop_at_the_largest_number() -> None:
    state = MemoryState([AffinityFold()])
    heavy = Raw(START, USERS[1], ITEMS[1], 2, Role.CLICK, 1_000_000_000, 3, 4, 0, 0, 0)
    state.apply(to_events([heavy] * 40))
    row = state.hydrate(USERS[1], START).rows["affinity"][0]
    assert row["category_weights"].max() == row["brand_weights"].max() == 2**31 - 1


@pytest.mark.parametrize(
    "hours",
    [
        [0, 0.5, 1, 1.5001],  # the gap that just does not end a session, and the one that does
        [0, 1, 25.1, 30, 9700, 9701],  # back after a day, after more than 400 days
        [100, 101, 102, 103, 1, 99, 104, 2],  # late purchases in a fifth category
        *([0, *(-w * n + e for e in (-w, 0, w, 0.001))] for w, n in ((4, 7), (24, 8), (4, 18))),
        *([0, *(-w * n + e for e in (-w, 0, w, 0.001)), w] for w, n in ((4, 7), (24, 8), (4, 18))),
    ],
    ids=[
        "session",
        "back again",
        "late purchases",
        *(f"window {w}{e}" for e in ("", " moved") for w in (4, 24, 2)),
    ],
)
@pytest.mark.parametrize("kind", [3, 5], ids=["click", "buy"])
def test_edges(hours: list[float], kind: int) -> None:
    start, state = START // DAY * DAY, new_state()
    role, weight = int(KINDS.role[kind]), int(KINDS.weight[kind])
    raw = [
        Raw(
            start + round(h * HOUR),
            USERS[1],
            ITEMS[1],
            kind,
            role,
            weight,
            n % 7 + 1,
            1,
            1000,
            500 * n,
            100 * n,
        )
        for n, h in enumerate(hours)
    ]
    for place, event in enumerate(raw):
        state.apply(to_events([event], place))
        for step in (0, HOUR, DAY):
            compare(state, raw[: place + 1], USERS[1], max(e.ts for e in raw[: place + 1]) + step)
