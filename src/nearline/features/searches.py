"""Searches: the last few things that a visitor searched for, as keys of words; the words themselves are not kept."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32
from nearline.schema.components import ALL_EXPIRED, Entity, Fold, FoldBatch, ReadContext, Rows, Tier
from nearline.schema.event import EVENT, Events, Role
from nearline.schema.kernel import f4, i4, i8, kernel, record, u1, u4
from nearline.schema.words import WORDS

SEARCH = int(Role.SEARCH)
KEPT = 3
"""Searches kept of a visitor."""
LIVE_HOURS = 24
"""After so long a search says nothing more."""


@kernel(u4[:, :, :], u4[:, :], i4[::1], record(EVENT), u1[::1])
def _update(
    words: NDArray[np.uint32], seconds: NDArray[np.uint32], users: I32, events: Events, reset: NDArray[np.uint8]
) -> None:
    for i in range(len(users)):
        slot = users[i]
        if slot < 0:
            continue
        if reset[i] >= ALL_EXPIRED:
            words[slot, :, :] = 0
            seconds[slot, :] = 0
        event = events[i]
        if event.role != SEARCH or event.words[0] == 0:
            continue
        same = True
        for w in range(words.shape[2]):
            same &= words[slot, 0, w] == event.words[w]
        at = max(np.int64(seconds[slot, 0]), event.ts // 1000)
        if not same:
            for j in range(words.shape[1] - 1, 0, -1):
                words[slot, j, :] = words[slot, j - 1, :]
                seconds[slot, j] = seconds[slot, j - 1]
            for w in range(words.shape[2]):
                words[slot, 0, w] = event.words[w]
        seconds[slot, 0] = at


class SearchesFold:
    """The last three different searches in a row, newest first: keys of up to four words, time in seconds UTC (60 bytes).

    Times do not decrease. The same search once more only moves its time.
    """

    name = "searches"
    entity: Entity = "user"
    tier: Tier = "history"
    dtype: np.dtype[np.void] = np.dtype([("words", "<u4", (KEPT, WORDS)), ("seconds", "<u4", (KEPT,))])

    def update(self, rows: Rows, batch: FoldBatch) -> None:
        """Push each search that has words to the front of its visitor's row."""
        _update(rows["words"], rows["seconds"], batch.users, batch.events, batch.reset)


@kernel(u4[:, ::1], i8, f4[:, ::1])
def _read(seconds: NDArray[np.uint32], now: int, out: F32) -> None:
    hours = (now / 1000.0 - seconds[0, 0]) / 3600.0
    out[0, :] = max(0.0, hours) if seconds[0, 0] > 0 and hours <= LIVE_HOURS else np.nan


class SearchesFeature:
    """Hours since the visitor's last search, the same for every candidate; NaN where there is none of the last 24 hours.

    How well a candidate matches the searches is the score of the source `searches`, which is a column too.
    """

    name = "searches"
    needs_role: ClassVar[str] = "search"
    columns: tuple[str, ...] = ("search_hours",)
    time_based = True

    def __init__(self) -> None:
        self.folds: tuple[Fold, ...] = (SearchesFold(),)

    def read(self, context: ReadContext, out: F32) -> None:
        """Fill `[1, n] float32`."""
        _read(context.user.rows["searches"]["seconds"], context.query.now, out)
