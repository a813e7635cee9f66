"""Rows written beside the folding of what comes next: one batch at a time, again until the store has it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from nearline.schema.errors import StoreUnavailableError
from nearline.stores.user_rows import UserRow, UserRows

logger = logging.getLogger("nearline.stream")
T = TypeVar("T")
PAUSE = 0.5
"""Seconds between two tries of a store that does not answer."""


class WriteBehind:
    """A `UserRows` whose `write` returns while the store is still at it; what is read is what was written all the same.

    Args:
        store: where rows go.
        ending: when set, a store that does not answer is not waited for any more.
        stored: called with the progress that is in the store, from another thread.
    """

    def __init__(self, store: UserRows, ending: threading.Event, stored: Callable[[Mapping[int, int]], None]) -> None:
        self._store, self._ending, self._stored = store, ending, stored
        self._pool = ThreadPoolExecutor(1, "rows")
        self._under_way: Future[None] | None = None
        self._visitors: set[int] = set()
        self.answers = True
        """Whether the store answered when it was last asked."""

    def read(self, visitors: Sequence[int], partitions: Sequence[int] = ()) -> tuple[list[UserRow], list[int]]:
        """Return rows and progress, however long the store takes.

        Raises:
            RowsLostError: found out by the write that these rows are in.
            StoreUnavailableError: the store did not answer until it was time to end.
        """
        if partitions or not self._visitors.isdisjoint(visitors):
            self.settle()
        return self._asked(lambda: self._store.read(visitors, partitions))

    def write(self, rows: Sequence[UserRow], progress: Mapping[int, int]) -> None:
        """Have rows, then progress, written, after what is under way.

        Raises:
            RowsLostError, StoreUnavailableError: of what was under way; nothing of this is written.
        """
        self.settle()
        self._visitors = {row.visitor for row in rows}
        self._under_way = self._pool.submit(self._asked, lambda: self._write(rows, progress))

    def settle(self) -> None:
        """Wait for what is under way.

        Raises:
            RowsLostError: the store has lost what was written before; begin again from its progress.
            StoreUnavailableError: the store did not answer until it was time to end.
        """
        under_way, self._under_way, self._visitors = self._under_way, None, set()
        if under_way is not None:
            under_way.result()

    def close(self) -> None:
        """Wait for what is under way, and let go of connections."""
        self._pool.shutdown()
        self._store.close()

    def _write(self, rows: Sequence[UserRow], progress: Mapping[int, int]) -> None:
        self._store.write(rows, progress)
        self._stored(progress)

    def _asked(self, act: Callable[[], T]) -> T:
        while True:
            try:
                answer = act()
                self.answers = True
                return answer
            except StoreUnavailableError as error:
                self.answers = False
                logger.warning("the store does not answer; trying again", extra={"error": str(error)})
                if self._ending.wait(PAUSE):
                    raise
