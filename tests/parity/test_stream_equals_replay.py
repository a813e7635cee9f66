"""The stream's state is the replay's, byte for byte, however the events came."""

from __future__ import annotations

import numpy as np
from event_streams import (
    ITEMS,
    START,
    USERS,
    cuts,
    dumped,
    frozen,
    new_state,
    raw_events,
    split,
    to_events,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Raw

from nearline.features.suppression import SuppressionLists
from nearline.schema.clock import DAY
from nearline.schema.event import Events, empty_events
from nearline.schema.kinds import ERASED
from nearline.stores.state import MemoryState

ITEM_KEYS = np.array(ITEMS[1:], np.uint64)
PLACES = st.lists(st.integers(0, 59), max_size=3)


def replayed(*batches: Events) -> MemoryState:
    state = new_state(limit=8, window=3)
    for batch in batches:
        state.apply(batch)
    return state


def erasing(raw: list[Raw], places: list[int]) -> Events:
    events = to_events(raw)
    events["kind"][[p for p in places if p < len(events)]] = ERASED
    return events


def item_rows(state: MemoryState) -> dict[str, bytes]:
    slots = state.items.find(ITEM_KEYS)
    slots = slots[slots >= 0]
    return {n: state.rows[n][slots].tobytes() for n, f in state.folds.items() if f.entity == "item"}


def user_bytes(state: MemoryState, user: int) -> dict[str, bytes]:
    """All that is kept at a visitor's slot; of his suppressions the list, not its place."""
    slot = state.users.find_one(user)
    out = {n: state.rows[n][slot].tobytes() for n, f in state.folds.items() if f.entity == "user"}
    out["presence"] = state.presence[slot].tobytes()
    arrays = state.dump()
    recent = arrays["part.covisit.recent"]
    out["recent"] = recent[slot].tobytes()
    part = state.stateful["suppression"]
    assert isinstance(part, SuppressionLists)
    keys, until = part.of(slot)
    out["suppressed"] = keys.tobytes() + until.tobytes()
    return out


@settings(max_examples=60, deadline=None)
@given(raw=raw_events(), places=cuts(), erased=PLACES)
def test_batching_changes_no_byte(raw: list[Raw], places: list[int], erased: list[int]) -> None:
    events = erasing(raw, erased)
    whole = dumped(replayed(events))
    assert dumped(replayed(*split(events, places))) == whole
    assert dumped(replayed(*(events[i : i + 1] for i in range(len(events))))) == whole


def test_batching_changes_no_byte_of_many_keys() -> None:
    """More users and items than any table has room for at first."""
    rng, n = np.random.default_rng(3), 9000
    events = empty_events(n)
    events["offset"], events["ts"] = np.arange(n), START + np.cumsum(rng.integers(0, 60_000, n))
    events["user"] = rng.integers(1, 4000, n).astype(np.uint64) << np.uint64(40)
    events["item"] = rng.integers(1, 3000, n).astype(np.uint64) << np.uint64(40)
    events["kind"], events["role"], events["weight"] = 5, 5, 8000
    events["category"] = rng.integers(0, 300, n)
    whole = new_state()
    whole.apply(events)
    for pieces in (2, 41):
        state = new_state()
        for batch in np.array_split(events, pieces):
            state.apply(batch)
        assert dumped(state) == dumped(whole)


@settings(max_examples=60, deadline=None)
@given(raw=raw_events(), seed=st.integers(0, 1000))
def test_item_folds_commute(raw: list[Raw], seed: int) -> None:
    shuffled = [raw[p] for p in np.random.default_rng(seed).permutation(len(raw))]
    rows = []
    for order in (raw, shuffled):
        state = new_state()
        state.register(ITEM_KEYS)
        state.apply(to_events(order))
        rows.append(item_rows(state))
    assert rows[0] == rows[1]


@settings(max_examples=60, deadline=None)
@given(raw=raw_events(), places=cuts())
def test_a_saved_state_continues_as_if_never_stopped(raw: list[Raw], places: list[int]) -> None:
    events = to_events(raw)
    state = replayed()
    for batch in split(events, places):
        state.apply(batch)
        saved = frozen(state.dump())
        state = replayed()
        state.load(saved)
    assert dumped(state) == dumped(replayed(events))


@settings(max_examples=30, deadline=None)
@given(raw=raw_events(), place=st.integers(0, 60))
def test_a_loaded_state_is_its_own(raw: list[Raw], place: int) -> None:
    before, after = split(to_events(raw), [place])
    first, second = replayed(before), replayed()
    bytes_before = dumped(first)
    second.load(first.dump())
    second.apply(after)
    assert dumped(first) == bytes_before


@settings(max_examples=60, deadline=None)
@given(raw=raw_events(), places=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=4))
def test_events_that_come_again_have_no_effect(raw: list[Raw], places: list[tuple[int, int]]) -> None:
    """Redelivery: each batch begins at or before the end of what came."""
    events = to_events(raw)
    state, done = replayed(), 0
    for back, on in places:
        begin = back % (done + 1)
        end = max(begin, on % (len(events) + 1))
        state.apply(events[begin:end])
        done = max(done, end)
    state.apply(events)
    assert dumped(state) == dumped(replayed(events))


def test_each_event_counts_once_wherever_the_stream_was_cut() -> None:
    raw = [Raw(START + n, USERS[1 + n % 3], ITEMS[1 + n % 7], 3, 3, 2000, 1, 1, 9, 1, 0) for n in range(9)]
    events = to_events(raw)
    whole = dumped(replayed(events))
    for done in range(10):
        for again in range(done + 1):
            assert dumped(replayed(events[:done], events[again:])) == whole


@settings(max_examples=60, deadline=None)
@given(raw=raw_events(), place=st.integers(0, 60), user=st.sampled_from(USERS[1:]))
def test_who_is_forgotten_never_was(raw: list[Raw], place: int, user: int) -> None:
    before, after = split(to_events(raw), [place])
    state = replayed(before)
    others = [int(u) for u in state.users.keys if u != user]
    kept = [user_bytes(state, u) for u in others]
    items = item_rows(state)
    was = state.users.find_one(user) >= 0
    assert state.forget(user) == was
    assert [user_bytes(state, u) for u in others] == kept
    assert item_rows(state) == items
    if not was:
        return
    blank = state.hydrate(user, START)
    assert blank.offset == -1
    assert not any(np.asarray(row).view(np.uint8).any() for row in blank.rows.values())
    assert not any(any(part) for part in user_bytes(state, user).values())
    slot = state.users.find_one(user)
    dump = state.dump()
    assert not dump["part.suppression.index"][slot].any()
    # Nothing is left of him in the arena: only what the others' lists hold.
    part = state.stateful["suppression"]
    assert isinstance(part, SuppressionLists)
    held = sum(len(part.of(s)[0]) for s in range(len(state.users)))
    assert np.count_nonzero(dump["part.suppression.keys"]) == held
    assert np.count_nonzero(dump["part.suppression.until"]) == held
    # And what he does from now on is all that there is.
    new = replayed(after)
    state.apply(after)
    if new.users.find_one(user) >= 0:
        mine, fresh = user_bytes(state, user), user_bytes(new, user)
        mine.pop("recent"), fresh.pop("recent")  # slots of items, which are private to a state
        assert mine == fresh


def test_a_long_list_leaves_nothing_behind() -> None:
    state = new_state()
    raw = [Raw(START, USERS[1], (n + 1) << 40, 5, 5, 8000, n, 0, 0, 0, 0) for n in range(500)]
    state.apply(to_events(raw))
    assert len(state.dump()["part.suppression.keys"]) > 1000
    state.forget(USERS[1])
    assert not state.dump()["part.suppression.keys"].any()
    assert not state.dump()["part.suppression.until"].any()


def test_expiry_is_invisible_at_its_edge() -> None:
    event = Raw(START, USERS[1], ITEMS[1], 3, 3, 2000, 1, 1, 1000, 0, 500)
    state = replayed(to_events([event]))
    for now, hot, long in (
        (DAY, True, True),
        (DAY + 1, False, True),
        (400 * DAY, False, True),
        (400 * DAY + 1, False, False),
    ):
        rows = state.hydrate(USERS[1], START + now).rows
        assert bool(rows["last_items"]["items"].any()) == hot
        assert bool(rows["history"]["items"].any()) == long
