"""History: the last 50 items a visitor touched, with time and role; it outlives the hot row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32
from nearline.schema.components import ALL_EXPIRED, Entity, Fold, FoldBatch, ReadContext, Rows, Tier, UserState, World
from nearline.schema.event import EVENT, Events, Role
from nearline.schema.kernel import f4, i4, i8, inline, kernel, record, u1, u2, u4, u8

EXPOSURE, SEARCH, NEGATIVE = int(Role.EXPOSURE), int(Role.SEARCH), int(Role.NEGATIVE)


@kernel(u8[:, :], u4[:, :], u1[:, :], u2[:], i4[::1], i4[::1], record(EVENT), u1[::1])
def _update(
    items: NDArray[np.uint64],
    seconds: NDArray[np.uint32],
    roles: NDArray[np.uint8],
    count: NDArray[np.uint16],
    users: I32,
    item_slots: I32,
    events: Events,
    reset: NDArray[np.uint8],
) -> None:
    n = items.shape[1]
    for i in range(len(users)):
        slot = users[i]
        if slot < 0:
            continue
        if reset[i] >= ALL_EXPIRED:
            count[slot] = 0
            items[slot, :] = 0
            seconds[slot, :] = 0
            roles[slot, :] = 0
        event: Any = events[i]
        if item_slots[i] < 0 or event.role == EXPOSURE or event.role == SEARCH:
            continue
        # A ring of n: `count` runs to 2n - 1 and then keeps its phase, so it says both length and place.
        place = count[slot] % n
        latest = np.int64(0)
        if count[slot] > 0:
            latest = np.int64(seconds[slot, (count[slot] - 1) % n])
        items[slot, place] = event.item
        seconds[slot, place] = max(latest, event.ts // 1000)
        roles[slot, place] = event.role
        count[slot] += 1
        if count[slot] == 2 * n:
            count[slot] = n


class HistoryFold:
    """The last `n` touched items: key, time in seconds UTC (not decreasing), role; 13 bytes each.

    Args:
        n: how many.
    """

    name = "history"
    entity: Entity = "user"
    tier: Tier = "history"

    def __init__(self, n: int = 50) -> None:
        self.n = n
        self.dtype: np.dtype[np.void] = np.dtype(
            [("items", "<u8", (n,)), ("seconds", "<u4", (n,)), ("roles", "u1", (n,)), ("count", "<u2")]
        )

    def update(self, rows: Rows, batch: FoldBatch) -> None:
        """Write each touched item into its visitor's ring."""
        _update(
            rows["items"],
            rows["seconds"],
            rows["roles"],
            rows["count"],
            batch.users,
            batch.items,
            batch.events,
            batch.reset,
        )


def newest_first(rows: Rows) -> tuple[NDArray[np.uint64], NDArray[np.uint32], NDArray[np.uint8]]:
    """Return a `[1]` history row's items, seconds and roles, newest first."""
    row = rows[0]
    items: NDArray[np.uint64] = row["items"]
    n, count = len(items), int(row["count"])
    order = (count - 1 - np.arange(min(n, count))) % n
    return items[order], row["seconds"][order], row["roles"][order]


@kernel(i4[::1], u4[::1], u1[::1], i8, i4[::1], u4[::1])
def _recent(slots: I32, seconds: NDArray[np.uint32], roles: NDArray[np.uint8], count: int, out: I32, at: Any) -> int:
    """Write the different known, not disliked items of a ring, newest first; return how many."""
    n = len(slots)
    found = 0
    disliked = False
    for place in range(min(n, count)):
        disliked = disliked or roles[place] == NEGATIVE
    for back in range(min(n, count)):
        place = (count - 1 - back) % n
        slot = slots[place]
        fine = slot >= 0 and roles[place] != NEGATIVE
        if fine:
            for j in range(found):
                if out[j] == slot:
                    fine = False
        if fine and disliked:
            for other in range(min(n, count)):
                if roles[other] == NEGATIVE and slots[other] == slot:
                    fine = False
        if fine:
            out[found] = slot
            at[found] = seconds[place]
            found += 1
    return found


def recent_slots(user: UserState, world: World, limit: int) -> tuple[I32, NDArray[np.uint32]]:
    """Return the different known, not disliked items of a visitor's history as slots, newest first, and their seconds."""
    found = user.memo.get("recent")
    if found is None:
        row = user.rows["history"]
        items: NDArray[np.uint64] = row["items"][0]
        out, at = np.empty(len(items), np.int32), np.empty(len(items), np.uint32)
        n = _recent(world.item_slots(items), row["seconds"][0], row["roles"][0], row["count"][0], out, at)
        found = user.memo["recent"] = out[:n], at[:n]
    return found[0][:limit], found[1][:limit]


@inline
def _place(table: Any, key: Any) -> Any:
    """Return where a key is in an open-addressing table that is a power of two long, or the empty place for it."""
    mask = np.uint64(len(table) - 1)
    place = ((key * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)) & mask
    while table[place] != 0 and table[place] != key:
        place = (place + np.uint64(1)) & mask
    return place


@inline
def _table(n: int) -> Any:
    size = 64
    while size < 8 * n:
        size *= 2
    return np.zeros(size, np.uint64)


@kernel(u8[:, ::1], u2[::1], i4[::1], u8[::1], f4[:, ::1])
def _times(items: NDArray[np.uint64], count: NDArray[np.uint16], slots: I32, keys: NDArray[np.uint64], out: F32) -> None:
    n = min(np.int64(count[0]), items.shape[1])
    table = _table(n)
    times = np.zeros(len(table), np.float32)
    for j in range(n):
        place = _place(table, items[0, j])
        table[place] = items[0, j]
        times[place] += 1
    out[0, :] = n
    for i in range(len(slots)):
        out[1, i] = times[_place(table, keys[slots[i]])]


@kernel(u8[:, ::1], u4[:, ::1], u2[::1], i8, i4[::1], u8[::1], f4[:, ::1])
def _ages(
    items: NDArray[np.uint64],
    seconds: NDArray[np.uint32],
    count: NDArray[np.uint16],
    now: int,
    slots: I32,
    keys: NDArray[np.uint64],
    out: F32,
) -> None:
    n = min(np.int64(count[0]), items.shape[1])
    table = _table(n)
    ages = np.full(len(table), np.float32(np.nan), np.float32)
    for j in range(n):
        place = _place(table, items[0, j])
        age = np.float32((now / 1000.0 - seconds[0, j]) / 3600.0)
        ages[place] = min(ages[place], age) if table[place] != 0 else age
        table[place] = items[0, j]
    for i in range(len(slots)):
        out[0, i] = ages[_place(table, keys[slots[i]])]


class HistoryFeature:
    """Length of the history, and how often the candidate is in it."""

    name = "history"
    columns: tuple[str, ...] = ("history_length", "history_times")
    time_based = False

    def __init__(self, n: int = 50) -> None:
        self.folds: tuple[Fold, ...] = (HistoryFold(n),)

    def read(self, context: ReadContext, out: F32) -> None:
        """Fill `[2, n] float32`."""
        row = context.user.rows["history"]
        _times(row["items"], row["count"], context.candidates.items, context.columns.key, out)


class HistoryAgeFeature:
    """Hours since the candidate was last touched; NaN where it is not in the history."""

    name = "history_age"
    columns: tuple[str, ...] = ("history_hours",)
    time_based = True

    def __init__(self, n: int = 50) -> None:
        self.folds: tuple[Fold, ...] = (HistoryFold(n),)

    def read(self, context: ReadContext, out: F32) -> None:
        """Fill `[1, n] float32`."""
        row, items = context.user.rows["history"], context.candidates.items
        _ages(row["items"], row["seconds"], row["count"], context.query.now, items, context.columns.key, out)
