"""Any stream of events: few users and items, so that they meet; times from seconds to weeks, out of order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from oracle import Raw

from nearline.features.suppression import SuppressionLists
from nearline.pipeline.discovery import discover
from nearline.schema import kinds
from nearline.schema.clock import DAY, HOUR, MINUTE
from nearline.schema.components import Arrays, Feature, Stateful
from nearline.schema.event import Events, EventType, Role, Suppression, empty_events
from nearline.schema.ids import key32
from nearline.schema.kinds import Kinds
from nearline.schema.profile import AGE_GROUPS, GENDERS, INTEREST, PROFILE
from nearline.sources.covisit import CovisitTables
from nearline.sources.segment_tables import SegmentTables
from nearline.stores.state import MemoryState

START = 1_700_000_000_000
USERS = [0] + [0xA000_0000_0000_0001 + (n << 33) for n in range(3)]
ITEMS = [0] + [0xB000_0000_0000_0007 + (n << 35) for n in range(7)]
KINDS = Kinds(
    (
        EventType("seen", 0.0, "exposure"),
        EventType("view", 1.0, "view"),
        EventType("click", 2.0, "click", suppresses=(Suppression("item", 0.5),)),
        EventType("cart", 4.0, "intent"),
        EventType("buy", 8.0, "conversion", suppresses=(Suppression("item", 30), Suppression("category", 2))),
        EventType("skip", -0.5, "negative", suppresses=(Suppression("item", 1),)),
        EventType("dislike", -5.0, "negative", suppresses=(Suppression("item"),)),
        EventType("search", 0.0, "search"),
        EventType("other", 1.0, "none"),
    )
)
RESERVED = [kinds.RESERVED[name] for name in (*PROFILE, INTEREST)]
"""Places of what a visitor says of himself."""
NAMED = [0, *map(key32, (AGE_GROUPS[0], AGE_GROUPS[-1], GENDERS[0], GENDERS[-1], "DE", "FR", "nowhere", "x"))]
USUAL = st.tuples(st.integers(0, len(KINDS)), st.just(0))
SAID = st.tuples(st.sampled_from(RESERVED), st.just(1))
CARRIED = st.tuples(st.integers(1, len(KINDS)), st.just(1))
"""Kinds and whether only the visitor's own rows take them."""
EDGES = [30 * MINUTE, 24 * HOUR, 400 * DAY]
STEPS = st.one_of(
    st.integers(0, 40 * MINUTE),
    st.integers(-5 * HOUR, 10 * HOUR),
    st.integers(-9 * DAY, 9 * DAY),
    st.sampled_from([0, 1, *EDGES, *(edge + 1 for edge in EDGES), -20 * DAY]),
)


@st.composite
def raw_events(draw: st.DrawFn, most: int = 60) -> list[Raw]:
    """Return events in the order of arrival."""
    out: list[Raw] = []
    now = START
    for step, user, item, (kind, own), numbers in draw(
        st.lists(
            st.tuples(
                STEPS,
                st.sampled_from(USERS[1:] + USERS),
                st.sampled_from(ITEMS),
                st.one_of(USUAL, SAID, CARRIED),
                st.tuples(st.integers(0, 8), st.integers(0, 4), st.integers(0, 9000), st.integers(0, 5)),
            ),
            max_size=most,
        )
    ):
        now = max(START - 60 * DAY, now + step)
        category, brand, price, rating = numbers
        role, weight = int(KINDS.role[kind]), int(KINDS.weight[kind])
        if kind in RESERVED[:3]:
            category, about = NAMED[category], 0
        else:
            about = item
        value = (price - 3000) * (rating % 2)
        # Few different searches, so that they repeat; some without a word.
        words = (price % 3, price % 2, 0, 0) if role == Role.SEARCH else (0, 0, 0, 0)
        said = (weight, category, brand, price, value, rating * 100)
        out.append(Raw(now, user, about, kind, role, *said, own, words, price % 5 % 3))
    return out


def cuts(most: int = 60) -> st.SearchStrategy[list[int]]:
    """Return where to cut a stream into batches."""
    return st.lists(st.integers(0, most), max_size=5).map(sorted)


def to_events(raw: Sequence[Raw], first: int = 0) -> Events:
    """Return raw events as `[n] EVENT` with offsets from `first` on."""
    out = empty_events(len(raw))
    out["offset"] = np.arange(first, first + len(raw))
    for name in Raw._fields:
        values = [getattr(e, name) for e in raw]
        out[name] = np.array(values, np.uint64).reshape(out[name].shape) if name in ("user", "item", "words") else values
    return out


def split(events: Events, places: Sequence[int]) -> list[Events]:
    """Return a stream cut at places, the empty pieces too."""
    edges = [0, *(min(p, len(events)) for p in places), len(events)]
    return [events[a:b] for a, b in pairwise(edges)]


def features() -> list[Feature]:
    """Return every feature of the package."""
    return [kind() for kind in discover("nearline.features", ("name", "columns", "read")).values()]


def new_state(limit: int = 1024, window: int = 10) -> MemoryState:
    """Return an empty state with every fold, the co-visits and the suppression lists."""
    parts: list[Stateful] = [CovisitTables(window, limit), SegmentTables(), SuppressionLists(KINDS)]
    return MemoryState([fold for feature in features() for fold in feature.folds], parts)


def dumped(state: MemoryState) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Return the bytes of a state."""
    return {name: (str(a.dtype), a.shape, a.tobytes()) for name, a in state.dump().items()}


def frozen(arrays: Arrays) -> Arrays:
    """Return arrays as a file gives them: nobody else's, and not to be written."""
    out: dict[str, NDArray[np.generic]] = {name: np.array(array) for name, array in arrays.items()}
    for array in out.values():
        array.flags.writeable = False
    return out
