"""Numbers: count, sum, mean, least and greatest of a value over the last days, for visitors or items.

One tile a day: the window reaches back over whole days of UTC, so it is too long by less than a day. Everything else is exact.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32
from nearline.schema.clock import DAY
from nearline.schema.components import ALL_EXPIRED, Entity, Fold, FoldBatch, ReadContext, Rows, Tier
from nearline.schema.event import EVENT, Events, Role
from nearline.schema.kernel import f4, f8, i4, i8, inline, kernel, record, u1, u4

Value = Literal["value", "price", "dwell", "rating"]
FIELDS: dict[Value, tuple[int, float]] = {"value": (0, 1e3), "price": (1, 1e3), "dwell": (2, 1e3), "rating": (3, 1e2)}
"""Place of each field, and how many of its units make one (dwell is read in seconds)."""

PARTS = ("head", "counts", "sums", "least", "greatest")


@inline
def _value(event: Any, field: int) -> Any:
    if field == 0:
        return event.value
    if field == 1:
        return event.price
    if field == 2:
        return np.int64(event.dwell)
    return np.int64(event.rating)


@kernel(i4[:], u4[:, :], i8[:, :], i8[:, :], i8[:, :], i4[::1], record(EVENT), u1[::1], i8, i8)
def _update(
    heads: I32,
    counts: NDArray[np.uint32],
    sums: NDArray[np.int64],
    least: NDArray[np.int64],
    greatest: NDArray[np.int64],
    slots: I32,
    events: Events,
    expired: NDArray[np.uint8],
    field: int,
    roles: int,
) -> None:
    n = counts.shape[1]
    for i in range(len(slots)):
        slot = slots[i]
        if slot < 0:
            continue
        if expired[i]:
            heads[slot] = 0
            counts[slot, :] = 0
        event: Any = events[i]
        value = _value(event, field)
        if value == 0 or not (roles >> event.role) & 1:
            continue
        tile, head = event.ts // DAY, heads[slot]
        if head == 0 or tile > head:
            for t in range(max(head + 1, tile - n + 1), tile + 1) if head > 0 else range(tile - n + 1, tile + 1):
                counts[slot, t % n] = 0
                sums[slot, t % n] = 0
                least[slot, t % n] = 0
                greatest[slot, t % n] = 0
            heads[slot] = tile
        elif tile <= head - n:
            continue
        place = tile % n
        first = counts[slot, place] == 0
        counts[slot, place] += 1
        sums[slot, place] += value
        least[slot, place] = value if first else min(least[slot, place], value)
        greatest[slot, place] = value if first else max(greatest[slot, place], value)


class NumbersFold:
    """By day: how many, their sum, the least, the greatest (28 bytes a day, and 4).

    Args:
        entity: whose rows.
        of: which number of an event; 0 means that it has none.
        roles: names of the roles that count; none: all of them.
        days: whole days, today included.
    """

    tier: Tier = "history"

    def __init__(self, entity: Entity, of: Value, roles: tuple[str, ...], days: int) -> None:
        self.name = f"{entity}_{of}_numbers_{days}d" + "".join(f"_{role}" for role in roles)
        self.entity, self.of, self.days = entity, of, days
        self.roles = sum(1 << int(Role[role.upper()]) for role in roles) or (1 << len(Role)) - 1
        self.dtype: np.dtype[np.void] = np.dtype(
            [
                ("head", "<i4"),
                ("counts", "<u4", (days,)),
                ("sums", "<i8", (days,)),
                ("least", "<i8", (days,)),
                ("greatest", "<i8", (days,)),
            ]
        )

    def update(self, rows: Rows, batch: FoldBatch) -> None:
        """Add each event's number to the day of its own time."""
        item = self.entity == "item"
        expired = (batch.reset >= ALL_EXPIRED).astype(np.uint8) if not item else np.zeros(len(batch.reset), np.uint8)
        slots = batch.items if item else batch.users
        heads, counts, sums, least, greatest = (rows[name] for name in PARTS)
        _update(heads, counts, sums, least, greatest, slots, batch.events, expired, FIELDS[self.of][0], self.roles)


@kernel(i4[:], u4[:, :], i8[:, :], i8[:, :], i8[:, :], i4[::1], i8, f8, f4[:, ::1])
def _read(
    heads: I32,
    counts: NDArray[np.uint32],
    sums: NDArray[np.int64],
    least: NDArray[np.int64],
    greatest: NDArray[np.int64],
    slots: I32,
    now: int,
    unit: float,
    out: F32,
) -> None:
    n = counts.shape[1]
    for i in range(len(slots)):
        slot = slots[i]
        total, added, low, high = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
        head = np.int64(heads[slot])
        if head > 0:
            for t in range(max(head, now // DAY) - n + 1, head + 1):
                held = np.int64(counts[slot, t % n])
                if held > 0:
                    low = min(low, least[slot, t % n]) if total > 0 else least[slot, t % n]
                    high = max(high, greatest[slot, t % n]) if total > 0 else greatest[slot, t % n]
                    total += held
                    added += sums[slot, t % n]
        out[0, i] = total
        out[1, i] = added / unit
        out[2, i] = added / unit / total if total > 0 else np.nan
        out[3, i] = low / unit if total > 0 else np.nan
        out[4, i] = high / unit if total > 0 else np.nan


class NumbersFeature:
    """Count, sum, mean, least and greatest of a number over some days: `NumbersFeature("item", "dwell", days=3)`.

    Args:
        entity: "user" or "item".
        of: "value", "price", "dwell" (seconds) or "rating" of an event.
        roles: of the events that count, such as ("conversion",); none: all.
        days: whole days of UTC, today included.
    """

    name = "user_value_numbers_7d"
    columns: tuple[str, ...] = tuple(f"user_value_{what}_7d" for what in ("count", "sum", "mean", "least", "greatest"))
    time_based = True
    default = False

    def __init__(self, entity: Entity = "user", of: Value = "value", roles: tuple[str, ...] = (), days: int = 7) -> None:
        fold = NumbersFold(entity, of, roles, days)
        self.name, self.fold = fold.name, fold
        prefix, suffix = f"{entity}_{of}", fold.name.split("_numbers")[1]
        self.columns = tuple(f"{prefix}_{what}{suffix}" for what in ("count", "sum", "mean", "least", "greatest"))
        self.folds: tuple[Fold, ...] = (fold,)

    def read(self, context: ReadContext, out: F32) -> None:
        """Fill `[5, n] float32`; mean, least and greatest are NaN of nothing."""
        fold = self.fold
        mine = fold.entity == "user"
        rows = context.user.rows[fold.name] if mine else context.rows[fold.name]
        slots = np.zeros(1, np.int32) if mine else context.candidates.items
        block = np.empty((5, 1), np.float32) if mine else out
        heads, counts, sums, least, greatest = (rows[name] for name in PARTS)
        _read(heads, counts, sums, least, greatest, slots, context.query.now, FIELDS[fold.of][1], block)
        if mine:
            out[:] = block
