"""Co-visits against a dict of dicts, suppressions against a dict; and what each does at its limit."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from event_streams import KINDS, START, frozen, raw_events, to_events
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Raw, kept

from nearline.features.suppression import LIMIT, SuppressionLists
from nearline.schema.clock import DAY
from nearline.schema.components import FoldBatch
from nearline.schema.errors import NearlineError
from nearline.schema.event import Role
from nearline.schema.kinds import FOREVER
from nearline.sources.covisit import UNIT, CovisitTables

Table = dict[int, dict[int, int]]
CHOSEN = (Role.VIEW, Role.CLICK, Role.INTENT, Role.CONVERSION)


def batch(walk: list[tuple[int, int]]) -> FoldBatch:
    """Return clicks of (user slot, item slot)."""
    raw = [Raw(START, u + 1, i + 1, 3, Role.CLICK, 2000, 0, 0, 0, 0, 0) for u, i in walk]
    users, items = (np.array([pair[k] for pair in walk], np.int32) for k in (0, 1))
    return FoldBatch(to_events(raw), users, items, np.zeros(len(walk), np.uint8))


def held(tables: CovisitTables) -> Table:
    """Return the tables as item -> successor -> weight; the counts in the index must be right."""
    out: Table = {}
    for item, (start, count, room, _) in enumerate(tables.index.tolist()):
        places = slice(start, start + room)
        found = {int(k): int(w) for k, w in zip(tables.neighbours[places], tables.weights[places], strict=True) if k >= 0}
        assert len(found) == count
        assert 4 * count <= 3 * room
        assert room <= tables.limit
        if found:
            out[item] = found
    return out


def counted(walk: list[tuple[int, int]], window: int) -> Table:
    out: defaultdict[int, defaultdict[int, int]] = defaultdict(lambda: defaultdict(int))
    trails: defaultdict[int, list[int]] = defaultdict(list)
    for user, item in walk:
        trail = trails[user]
        if trail and trail[-1] == item:
            continue
        for lag, before in enumerate(reversed(trail[-window:]), 1):
            if before != item:
                out[before][item] += UNIT // lag
        trail.append(item)
    return {item: dict(row) for item, row in out.items()}


WALKS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40)), max_size=150)


@settings(max_examples=60, deadline=None)
@given(walk=WALKS, window=st.integers(1, 12), cut=st.integers(0, 150))
def test_below_the_limit_every_weight_is_exact(walk: list[tuple[int, int]], window: int, cut: int) -> None:
    tables = CovisitTables(window, 64)
    tables.update(batch(walk[:cut]))
    other = CovisitTables(window, 64)
    other.load(frozen(tables.dump()))
    other.update(batch(walk[cut:]))
    assert held(other) == counted(walk, window)
    assert held(tables) == counted(walk[:cut], window)


@settings(max_examples=60, deadline=None)
@given(raw=raw_events())
def test_only_what_is_chosen_counts_and_a_stale_trail_does_not(raw: list[Raw]) -> None:
    """The roles view to conversion with a positive weight, of those who were not away for 400 days."""
    from event_streams import new_state

    state = new_state()
    state.apply(to_events(raw))
    trails: dict[int, list[int]] = {}
    for user in {e.user for e in raw if e.user}:
        mine = [e for e in raw if e.user == user]
        trail: list[int] = []
        for e in kept(mine, 400 * DAY, max(e.ts for e in mine)):
            if e.role in CHOSEN and e.weight > 0 and e.item and not e.own and trail[-1:] != [e.item]:
                trail.append(e.item)
        trails[user] = trail[-10:]
    tables = state.stateful["covisit"]
    assert isinstance(tables, CovisitTables)
    keys = state.items.keys
    for user, trail in trails.items():
        recent = tables.recent[state.users.find_one(user)]
        assert [int(keys[s - 1]) for s in recent if s][::-1] == trail


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1000), limit=st.sampled_from([8, 16, 32]))
def test_at_the_limit_weights_halve_and_old_habits_fade(seed: int, limit: int) -> None:
    rng = np.random.default_rng(seed)
    walk = list(zip(rng.integers(0, 3, 600).tolist(), rng.zipf(1.3, 600).clip(1, 90).tolist(), strict=True))
    tables, true = CovisitTables(4, limit), counted(walk, 4)
    for start in range(0, len(walk), 37):
        tables.update(batch(walk[start : start + 37]))
    found = held(tables)
    for item, row in found.items():
        # Never too high; and an item whose successors always fit was never halved.
        assert all(0 < weight <= true[item][other] for other, weight in row.items())
        if 4 * len(true[item]) <= 3 * limit:
            assert row == true[item]
    assert any(4 * len(row) > 3 * limit for row in true.values())


def test_a_new_habit_takes_over_a_full_table() -> None:
    tables = CovisitTables(1, 8)
    tables.update(batch([pair for other in range(1, 7) for pair in [(0, 0), (0, other)] * 50]))
    assert held(tables)[0] == dict.fromkeys(range(1, 7), 50 * UNIT)
    tables.update(batch([(1, 0), (1, 50)]))
    assert held(tables)[0] == dict.fromkeys(range(1, 7), 25 * UNIT)
    tables.update(batch([(2, 0), (2, 50)] * 40))
    found = held(tables)[0]
    assert set(found) == {50}
    assert 0 < found[50] <= 41 * UNIT


def test_growth_moves_tables_and_loses_nothing() -> None:
    """So many pairs that the arrays themselves grow, in one batch."""
    rng = np.random.default_rng(1)
    walk = list(zip(rng.integers(0, 50, 20_000).tolist(), rng.integers(0, 300, 20_000).tolist(), strict=True))
    tables = CovisitTables(3, 512)
    before = len(tables.neighbours)
    tables.update(batch(walk))
    assert len(tables.neighbours) > before
    assert held(tables) == counted(walk, 3)
    other = CovisitTables(3, 512)
    other.load(frozen(tables.dump()))
    assert held(other) == held(tables)


@pytest.mark.parametrize("limit", [0, 4, 1000])
def test_a_limit_that_does_not_fit_is_refused(limit: int) -> None:
    with pytest.raises(NearlineError, match="power of two"):
        CovisitTables(10, limit)


def suppressing(entries: list[tuple[int, int, int, int]]) -> FoldBatch:
    """Return events of (user slot, kind, item, ms after the start); the category is the item modulo 5."""
    raw = [Raw(START + ms, u + 1, item << 40, k, int(KINDS.role[k]), 0, item % 5, 0, 0, 0, 0) for u, k, item, ms in entries]
    users = np.array([e[0] for e in entries], np.int32)
    return FoldBatch(to_events(raw), users, users, np.zeros(len(entries), np.uint8))


def expected(entries: list[tuple[int, int, int, int]], user: int) -> dict[int, int]:
    out: dict[int, int] = {}
    for _, kind, item, ms in (e for e in entries if e[0] == user):
        for rule in KINDS.types[kind - 1].suppresses if kind else ():
            target = item << 40 if rule.scope == "item" else item % 5
            length = int(FOREVER) if rule.days is None else int(rule.days * DAY)
            if target:
                out[target] = max(out.get(target, 0), START + ms + length)
    return out


def listed(lists: SuppressionLists, user: int) -> dict[int, int]:
    keys, until = lists.of(user)
    assert len(set(keys.tolist())) == len(keys)
    return dict(zip(keys.tolist(), until.tolist(), strict=True))


ENTRIES = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, len(KINDS)), st.integers(0, 40), st.integers(0, 90 * DAY)),
    max_size=120,
)


@settings(max_examples=60, deadline=None)
@given(entries=ENTRIES, cut=st.integers(0, 120))
def test_suppressions_are_a_dict_of_the_latest_end(entries: list[tuple[int, int, int, int]], cut: int) -> None:
    lists = SuppressionLists(KINDS)
    lists.update(suppressing(entries[:cut]))
    other = SuppressionLists(KINDS)
    other.load(frozen(lists.dump()))
    other.update(suppressing(entries[cut:]))
    for user in range(4):
        assert listed(other, user) == expected(entries, user)
        assert listed(lists, user) == expected(entries[:cut], user)


def test_suppressions_beyond_the_limit_lose_what_ends_first() -> None:
    rng, lists = np.random.default_rng(5), SuppressionLists(KINDS)
    entries = [
        (int(u), 3, n + 1, int(ms))
        for n, (u, ms) in enumerate(zip(rng.integers(0, 2, 9500), rng.permutation(9500), strict=True))
    ]
    full: dict[int, dict[int, int]] = {0: {}, 1: {}}
    for user, _, item, ms in entries:
        mine = full[user]
        if len(mine) == LIMIT:
            del mine[min(mine, key=lambda k: mine[k])]
        mine[item << 40] = START + ms + DAY // 2
    for start in range(0, len(entries), 3000):
        lists.update(suppressing(entries[start : start + 3000]))
    for user in (0, 1):
        assert listed(lists, user) == full[user]
        assert len(full[user]) == LIMIT


def test_an_event_type_beyond_the_table_suppresses_nothing() -> None:
    lists, one = SuppressionLists(KINDS), suppressing([(0, 3, 7, 0)])
    one.events["kind"] = 200
    lists.update(one)
    assert listed(lists, 0) == {}
