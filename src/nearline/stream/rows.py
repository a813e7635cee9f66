"""Rows: events folded into the rows of a store, a batch at a time; what is in a row already changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from nearline.features.presence import PRESENCE
from nearline.schema.candidates import I32
from nearline.schema.event import Events
from nearline.stores.state import MemoryState
from nearline.stores.user_rows import UserRow, UserRows

CACHED = 200_000
"""Visitors whose rows a worker keeps; when there are more, it begins anew and reads them when they come again."""
ASKED = 2_000
"""Rows read in one question."""
HEAD = PRESENCE.itemsize


class RowsFolder:
    """Folds events of visitors into their stored rows; one owner a partition, else rows would be read and written over.

    Args:
        empty: makes a state of user folds alone.
        store: where rows are.
    """

    def __init__(self, empty: Callable[[], MemoryState], store: UserRows) -> None:
        self._empty, self._store = empty, store
        self._state = empty()
        self._held: set[int] = set()

    def fold(self, events: Events, progress: Mapping[int, int]) -> int:
        """Fold events (`[n] EVENT`, each partition's in order), write the rows, then the progress; return how many were new.

        Raises:
            StoreUnavailableError: the store does not answer; the same call may be made again.
        """
        if len(self._held) > CACHED:
            self.drop()
        state, visitors = self._state, np.unique(events["user"])
        visitors = visitors[visitors != 0]
        self._read([visitor for visitor in visitors.tolist() if visitor not in self._held])
        slots = state.users.find(visitors)
        heads = state.presence[state.users.find(events["user"])]
        # Redelivered after a crash, or by a worker before this one: the row says so.
        fresh = events[
            (events["user"] != 0) & ((heads["last"] == 0) & (heads["offset"] == 0) | (events["offset"] > heads["offset"]))
        ]
        try:
            state.apply(fresh)
            self._store.write(self._rows(visitors.tolist(), slots, fresh), progress)
        except BaseException:
            # What is folded here and not stored would be folded twice.
            self.drop()
            raise
        return len(fresh)

    def drop(self) -> None:
        """Forget all rows; they are read again when they are needed."""
        self._state, self._held = self._empty(), set()

    def _read(self, visitors: list[int]) -> None:
        for begin in range(0, len(visitors), ASKED):
            rows, _ = self._store.read(visitors[begin : begin + ASKED])
            slots = self._state.admit(np.array([row.visitor for row in rows], np.uint64))
            for slot, row in zip(slots.tolist(), rows, strict=True):
                if not (row.hot or row.history):
                    continue  # his place is blank already
                # A hot row that has expired left its head in the history; of one who was erased a head is all there is.
                hot = row.hot or row.history[:HEAD]
                self._state.push(slot, hot.ljust(self._state.packed["hot"].itemsize, b"\0"), row.history[HEAD:])
            self._held.update(row.visitor for row in rows)

    def _rows(self, visitors: list[int], slots: I32, events: Events) -> list[UserRow]:
        hot, history = self._state.pull(slots)
        history = np.concatenate((hot[:, :HEAD], history), axis=1)
        # Cut from one piece of bytes each: a row taken out of an array costs several times as much.
        (m, whole), (n, whole_history) = ((part.shape[1], part.tobytes()) for part in (hot, history))
        gone: list[bool] = (self._state.presence["last"][slots] == 0).tolist()
        out: list[UserRow] = []
        for place, visitor in enumerate(visitors):
            if gone[place]:
                # Erased: a head alone stays a while, so that nothing older is written after it.
                own = events["offset"][events["user"] == visitor]
                if len(own):
                    head = np.zeros(1, PRESENCE)
                    head["offset"] = own.max()
                    out.append(UserRow(visitor, head.tobytes()))
                continue
            packed = whole[place * m : place * m + m]
            out.append(UserRow(visitor, packed, whole_history[place * n : place * n + n]))
        return out
