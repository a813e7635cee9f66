"""Ignored: how often an item came into this visitor's view and was left alone, for the last sixteen such items."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32
from nearline.schema.components import ALL_EXPIRED, Entity, Fold, FoldBatch, ReadContext, Rows, Tier
from nearline.schema.event import EVENT, Events, Role
from nearline.schema.kernel import f4, i4, kernel, record, u1, u8

EXPOSURE, SEARCH = int(Role.EXPOSURE), int(Role.SEARCH)
KEPT = 16
IGNORED: np.dtype[np.void] = np.dtype([("items", "<u8", (KEPT,)), ("counts", "u1", (KEPT,)), ("n", "u1"), ("pad", "u1", (7,))])
"""Item keys and how often each was seen in vain (at most 255), the one seen longest ago first; n: how many."""


@kernel(record(IGNORED, packed=True), i4[::1], record(EVENT), u1[::1])
def _update(rows: Any, users: I32, events: Events, reset: NDArray[np.uint8]) -> None:
    for i in range(len(users)):
        if users[i] < 0:
            continue
        row = rows[users[i]]
        if reset[i] >= ALL_EXPIRED:
            for j in range(KEPT):
                row.items[j] = 0
                row.counts[j] = 0
            row.n = 0
        event: Any = events[i]
        if event.item == 0 or event.role == SEARCH or (event.role != EXPOSURE and row.n == 0):
            continue
        n = np.int64(row.n)
        place = 0
        while place < n and row.items[place] != event.item:
            place += 1
        seen = event.role == EXPOSURE
        if place == n and not seen:
            continue
        count = np.int64(row.counts[place]) if place < n else 0
        if place == n and n == KEPT:
            place = 0
        # It leaves its place; where it was seen once more, it comes back as the newest.
        if place < n:
            for j in range(place, n - 1):
                row.items[j] = row.items[j + 1]
                row.counts[j] = row.counts[j + 1]
            n -= 1
            row.items[n] = 0
            row.counts[n] = 0
        if seen:
            row.items[n] = event.item
            row.counts[n] = min(255, count + 1)
            n += 1
        row.n = n


class IgnoredFold:
    """The last items seen and not touched since, with how often (152 bytes)."""

    name = "ignored"
    entity: Entity = "user"
    tier: Tier = "history"
    dtype = IGNORED

    def update(self, rows: Rows, batch: FoldBatch) -> None:
        """Count what is seen; forget what is touched."""
        _update(rows, batch.users, batch.events, batch.reset)


@kernel(record(IGNORED), i4[::1], u8[::1], f4[:, ::1])
def _read(rows: Any, items: I32, keys: NDArray[np.uint64], out: F32) -> None:
    row = rows[0]
    out[0, :] = 0.0
    n = np.int64(row.n)
    if n == 0:
        return
    for i in range(len(items)):
        own = keys[items[i]]
        for j in range(n):
            if row.items[j] == own:
                out[0, i] = row.counts[j]


class IgnoredFeature:
    """How often the visitor saw the candidate and passed it over, since he last touched it (needs `seen` events)."""

    name = "ignored"
    columns = ("ignored_times",)
    time_based = False

    def __init__(self) -> None:
        self.folds: tuple[Fold, ...] = (IgnoredFold(),)

    def read(self, context: ReadContext, out: F32) -> None:
        """Fill `[1, n] float32`; exact for the sixteen items seen last, 0 for others."""
        _read(context.user.rows["ignored"], context.candidates.items, context.columns.key, out)
