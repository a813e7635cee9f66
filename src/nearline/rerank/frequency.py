"""Frequency: what was shown often without a reaction makes room, and no message repeats what one sent."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import I32, Candidates
from nearline.schema.clock import DAY, SECOND
from nearline.schema.components import UserState, World
from nearline.schema.kernel import b1, i4, i8, kernel, u4, u8
from nearline.schema.query import MESSAGES, Query
from nearline.schema.showings import Shown

_NO_KEYS, _NO_TIMES = np.empty(0, np.uint64), np.empty(0, np.uint32)


@kernel(u8[::1], u4[::1], u4[::1], u4[::1], u8[::1], u4[::1], i8, i8, i8, u8[::1])
def _tired(
    keys: NDArray[np.uint64],
    first: NDArray[np.uint32],
    last: NDArray[np.uint32],
    count: NDArray[np.uint32],
    touched: NDArray[np.uint64],
    seconds: NDArray[np.uint32],
    now: int,
    window: int,
    most: int,
    out: NDArray[np.uint64],
) -> int:
    """Write the items shown `most` times within the window and not touched since the first of them; return how many."""
    found = 0
    for i in range(len(keys)):
        if keys[i] == 0 or count[i] < most or now - np.int64(last[i]) >= window:
            continue
        reacted = False
        for j in range(len(touched)):
            reacted = reacted or (touched[j] == keys[i] and seconds[j] >= first[i])
        if not reacted:
            out[found] = keys[i]
            found += 1
    return found


@kernel(i4[::1], i4[::1], b1[::1])
def _drop(items: I32, gone: I32, keep: NDArray[np.bool_]) -> int:
    """Clear the flags of what has gone; return how many are left."""
    left = 0
    for i in range(len(items)):
        keep[i] = True
        for j in range(len(gone)):
            if items[i] == gone[j]:
                keep[i] = False
        left += keep[i]
    return left


class FrequencyFilter:
    """Drops what a visitor was shown so many times within a day, without touching it, for a day after the last time.

    Only as long as enough is left for the list. What was shown is known from logged impressions; messages do not count here.

    Args:
        most: times, 5 by default; 0 for no cap.
    """

    name = "frequency"
    settings: ClassVar = {"most": "frequency_cap"}

    def __init__(self, most: int = 5) -> None:
        self.most = most

    def bind(self, world: World) -> None:
        """Read what this world's visitors were shown."""
        self._world = world

    def wanted(self, query: Query, user: UserState) -> bool:
        """Return whether this visitor was shown anything."""
        return self._shown(query) is not None

    def keep(self, query: Query, user: UserState, candidates: Candidates) -> NDArray[np.bool_]:
        """Return which candidates were not shown too often, `[n] bool`."""
        keep = np.ones(len(candidates), np.bool_)
        if (shown := self._shown(query)) is None:
            return keep
        history = user.rows.get("history")
        touched, seconds = (_NO_KEYS, _NO_TIMES) if history is None else (history["items"][0], history["seconds"][0])
        out = np.empty(len(shown.keys), np.uint64)
        n = _tired(*shown, touched, seconds, query.now // SECOND, DAY // SECOND, self.most, out)
        if n and _drop(candidates.items, self._world.item_slots(out[:n]), keep) < query.page_size:
            keep[:] = True
        return keep

    def _shown(self, query: Query) -> Shown | None:
        return self._world.showings.of(query.visitor) if self.most > 0 and query.surface not in MESSAGES else None


class SentFilter:
    """Drops from an email or push message what one sent to this visitor within so many days, whatever is left.

    Args:
        days: 30 by default; 0 for no limit.
    """

    name = "sent"
    essential = True
    settings: ClassVar = {"days": "resend_days"}

    def __init__(self, days: int = 30) -> None:
        self.days = days

    def bind(self, world: World) -> None:
        """Read what this world's visitors were sent."""
        self._world = world

    def wanted(self, query: Query, user: UserState) -> bool:
        """Return whether this is a message."""
        return query.surface in MESSAGES and self.days > 0

    def keep(self, query: Query, user: UserState, candidates: Candidates) -> NDArray[np.bool_]:
        """Return which candidates were not sent of late, `[n] bool`."""
        keep = np.ones(len(candidates), np.bool_)
        sent = self._world.showings.sent(query.visitor) if self.wanted(query, user) else None
        if sent is not None:
            since = query.now // SECOND - self.days * DAY // SECOND
            recent = sent.keys[(sent.keys != 0) & (sent.last > since)]
            _drop(candidates.items, self._world.item_slots(recent), keep)
        return keep
