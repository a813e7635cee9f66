"""The world where visitors' rows are in a store of their own: items, and what they share, are followed here as ever."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np

from nearline.features.presence import PRESENCE, expired
from nearline.schema.components import ALL_EXPIRED, UserState
from nearline.schema.conditions import ITEM_KINDS, Kind
from nearline.schema.errors import StoreUnavailableError
from nearline.schema.event import Events
from nearline.schema.ids import partition_of
from nearline.schema.kinds import ERASED
from nearline.schema.rules import Rule
from nearline.stores.catalog import Catalog
from nearline.stores.state import MemoryState
from nearline.stores.user_rows import UserRow, UserRows
from nearline.stores.world import OnlineWorld

logger = logging.getLogger("nearline.rows")
KEPT = 20_000
"""Visitors whose last rows are kept for when the store does not answer."""
PAUSE = 0.1
"""Seconds between two questions to a store that does not answer; no request waits for these."""
HEAD = PRESENCE.itemsize


class RemoteWorld(OnlineWorld):
    """An `OnlineWorld` that reads a visitor's rows from a store, once per request.

    While the store does not answer, visitors are served from the rows that were last read of them, others as if they were new:
    by what their segment chooses, and what trends.

    Args:
        state: keeps items, and what sources keep; folds of users give the rows their form only.
        rows: the store, with a timeout that a request can bear.
        stale: seconds for which rows that were read are used again without asking.
    """

    def __init__(
        self,
        state: MemoryState,
        catalog: Catalog,
        rows: UserRows,
        kinds: Mapping[str, Kind] = ITEM_KINDS,
        rules: Sequence[Rule] = (),
        stale: float = 0.0,
    ) -> None:
        super().__init__(state, catalog, kinds, rules)
        self._store, self._stale = rows, stale
        self._kept: OrderedDict[int, tuple[UserRow, int, float]] = OrderedDict()
        self._lock = threading.Lock()
        self._away = False
        self._released = threading.Event()
        self.failures = 0
        """Reads that the store did not answer."""

    @property
    def answers(self) -> bool:
        """Whether the store answered when it was last asked."""
        return not self._away

    def apply(self, events: Events) -> None:
        """Fold events; of who is erased nothing is kept for when the store does not answer."""
        super().apply(events)
        with self._lock:
            for visitor in events["user"][events["kind"] == ERASED].tolist():
                self._kept.pop(visitor, None)

    def hydrate(self, visitor: int, now: int) -> UserState:
        """Return a visitor's rows at `now` (ms UTC)."""
        slot = self.state.users.find_one(visitor)
        row, seen = self._read(visitor) if visitor else (UserRow(visitor), 0)
        # What is in the rows, and what items share, must both have come so far.
        seen = min(seen, self.state.offset_of(visitor))
        head = row.history[:HEAD] or row.hot[:HEAD]
        if not head:
            return UserState(slot, self.state.unpacked(None, None), -1, seen)
        offset, last = np.frombuffer(max(head, row.hot[:HEAD], key=_offset), PRESENCE)[0].item()
        gone = expired(last, now, self.state.hot_ttl, self.state.history_ttl)
        if gone == ALL_EXPIRED:
            return UserState(slot, self.state.unpacked(None, None), offset if last else -1, seen, last)
        # Copied: kernels are compiled for arrays that may be written, and refuse those on bytes.
        hot = None if gone or not row.hot else np.frombuffer(bytearray(row.hot), self.state.packed["hot"])
        kept = bytearray(row.history[HEAD:])
        history = np.frombuffer(kept, self.state.packed["history"]) if kept else None
        return UserState(slot, self.state.unpacked(hot, history), offset, seen, last)

    def _read(self, visitor: int) -> tuple[UserRow, int]:
        """Return a visitor's rows, and up to which offset of his partition they are."""
        began = time.monotonic()
        with self._lock:
            kept = self._kept.get(visitor)
        if kept is not None and began - kept[2] < self._stale:
            return kept[0], kept[1]
        if not self._away:
            try:
                (row,), (seen,) = self._store.read([visitor], [partition_of(visitor, len(self.state.offsets))])
            except StoreUnavailableError:
                self._missed(visitor)
            else:
                with self._lock:
                    self._kept[visitor] = row, seen, began
                    self._kept.move_to_end(visitor)
                    if len(self._kept) > KEPT:
                        self._kept.popitem(last=False)
                return row, seen
        return (kept[0], kept[1]) if kept is not None else (UserRow(visitor), 0)

    def _missed(self, visitor: int) -> None:
        """Ask no more for requests, until a thread beside them has had an answer about this visitor: his node counts."""
        with self._lock:
            self.failures += 1
            if self._away:
                return
            self._away = True
        threading.Thread(target=self._await, args=(visitor,), name="nearline-rows", daemon=True).start()

    def _await(self, visitor: int) -> None:
        logger.warning("the store of visitors' rows does not answer; the rows that were last read serve")
        while not self._released.wait(PAUSE):
            try:
                self._store.read([visitor], [0])
            except StoreUnavailableError:
                continue
            self._away = False
            logger.info("the store of visitors' rows answers again")
            return

    def release(self) -> None:
        """Let go of stores."""
        super().release()
        self._released.set()
        self._store.close()


def _offset(head: bytes) -> int:
    return int.from_bytes(head[:8], "little", signed=True)
