"""Session: what a visitor is doing now. A gap of 30 minutes starts a new one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32
from nearline.schema.clock import MINUTE
from nearline.schema.components import Entity, Fold, FoldBatch, ReadContext, Rows, Tier
from nearline.schema.event import EVENT, Events, Role
from nearline.schema.kernel import f4, i4, i8, kernel, record, u1, u4

VIEW, EXPOSURE, DECLARED = int(Role.VIEW), int(Role.EXPOSURE), int(Role.DECLARED)
SESSION: np.dtype[np.void] = np.dtype(
    [("start", "<i8"), ("last", "<i8"), ("category", "<u4"), ("views", "<u2"), ("events", "<u2")]
)
"""start, last: ms UTC; category: of the last touched item; views: page views; events: all but exposures and what
the visitor says of himself."""


@kernel(record(SESSION, packed=True), i4[::1], record(EVENT), u1[::1], i8)
def _update(rows: Any, users: I32, events: Events, reset: NDArray[np.uint8], gap: int) -> None:
    for i in range(len(users)):
        slot = users[i]
        if slot < 0:
            continue
        row = rows[slot]
        event: Any = events[i]
        now = max(row.last, event.ts)
        if reset[i] > 0 or row.last == 0 or now - row.last > gap:
            now = event.ts
            row.start = now
            row.category = 0
            row.views = 0
            row.events = 0
        row.last = now
        if event.role == EXPOSURE or event.role == DECLARED:
            continue
        if event.category != 0:
            row.category = event.category
        if event.role == VIEW and row.views < 65535:
            row.views += 1
        if row.events < 65535:
            row.events += 1


class SessionFold:
    """The current session: start, last event, page views, current category (24 bytes).

    Args:
        gap: ms without an event after which a new session begins.
    """

    name = "session"
    entity: Entity = "user"
    tier: Tier = "hot"
    dtype = SESSION

    def __init__(self, gap: int = 30 * MINUTE) -> None:
        self.gap = gap

    def update(self, rows: Rows, batch: FoldBatch) -> None:
        """Continue or begin the session of each event's visitor, on max(row, event) time."""
        _update(rows, batch.users, batch.events, batch.reset, self.gap)


@kernel(record(SESSION), i8, i8, i4[::1], u4[::1], f4[:, ::1])
def _read(rows: Any, now: int, gap: int, items: I32, category: NDArray[np.uint32], out: F32) -> None:
    row = rows[0]
    live = row.last > 0 and now - row.last <= gap
    out[0, :] = (now - row.start) / 60000.0 if live else np.nan
    out[1, :] = (now - row.last) / 60000.0 if live else np.nan
    out[2, :] = row.views if live else 0
    out[3, :] = row.events if live else 0
    wanted = row.category if live else np.uint32(0)
    for i in range(len(items)):
        own = category[items[i]]
        out[4, i] = 1.0 if own != 0 and own == wanted else 0.0


class SessionFeature:
    """The session's age and idle time (minutes), page views, events, and whether the candidate is of its category."""

    name = "session"
    columns = ("session_minutes", "session_idle", "session_views", "session_events", "session_category")
    time_based = True

    def __init__(self, gap: int = 30 * MINUTE) -> None:
        self.gap = gap
        self.folds: tuple[Fold, ...] = (SessionFold(gap),)

    def read(self, context: ReadContext, out: F32) -> None:
        """Fill `[5, n] float32`; times are NaN outside a session."""
        row = context.user.rows["session"]
        _read(row, context.query.now, self.gap, context.candidates.items, context.columns.category, out)
