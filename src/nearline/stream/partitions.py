"""Partitions of a shared log folded into stored rows: the code that every engine of the stream calls, a page at a time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from nearline.app.tenant import Tenant
from nearline.schema.clock import HOUR
from nearline.schema.errors import StoreUnavailableError
from nearline.stores.dedupe import Duplicates
from nearline.stores.encode import belonging, events_from_records, ids_of
from nearline.stores.log import Log, Page
from nearline.stores.user_rows import UserRows
from nearline.stream.rows import RowsFolder

logger = logging.getLogger("nearline.stream")
T = TypeVar("T")
PAUSE = 0.5
"""Seconds between two tries of a store that does not answer."""
READ = 5_000
"""Records that are read at a time to catch up."""


def _nothing(events: int, seconds: float) -> None: ...


class PartitionsFolder:
    """Folds pages: what came twice goes out by its id, and what is in a row already changes nothing, so effects come once.

    Args:
        tenant: whose.
        log: a shared one.
        store: where rows go; how far it is counts, whatever others remember.
        ending: when set, a store that does not answer is not waited for any more.
        took: called after each page with (events, seconds since the newest of them was ingested).
    """

    def __init__(
        self,
        tenant: Tenant,
        log: Log,
        store: UserRows,
        ending: threading.Event | None = None,
        took: Callable[[int, float], None] = _nothing,
    ) -> None:
        self._tenant, self._log, self._took = tenant, log, took
        self._store, self._rows = store, RowsFolder(tenant.user_state, store)
        self._ending = ending or threading.Event()
        self._duplicates: dict[int, Duplicates] = {}
        self.done: dict[int, int] = {}
        """How far the partitions are that have begun."""
        self.folded = self.dropped = self.poison = 0

    def begin(self, number: int) -> int:
        """Begin with a partition from where its rows are in the store, and return that offset."""
        self.done[number] = offset = self._asked(lambda: self._progress(number))
        self._duplicates[number] = self._ids(number, offset)
        logger.info("partition begun", extra={"partition": number, "offset": offset})
        return offset

    def leave(self, numbers: list[int]) -> None:
        """Let partitions go; their rows are another's now."""
        for number in numbers:
            self.done.pop(number, None)
            self._duplicates.pop(number, None)
            logger.info("partition handed over", extra={"partition": number})
        self._rows.drop()

    def fold(self, page: Page) -> bool:
        """Fold the next page of a partition that has begun, however long the store takes to answer.

        Returns:
            Whether all of it is in the rows; False where the store has lost what was written before: begin again.

        Raises:
            StoreUnavailableError: the store did not answer until it was time to end.
        """
        number, kinds = page.partition, self._tenant.kinds
        new = self._duplicates[number].taken(*ids_of(page.records))
        events = events_from_records(page.records, page.first, kinds)
        own = belonging(events, number, self._log.partitions)
        self.dropped += len(new) - int(new.sum())
        self.poison += len(own) - int(own.sum())
        events = events[new & own]

        def act() -> bool:
            if self._progress(number) < self.done[number]:
                logger.warning("the store lost rows; folding again what they lack", extra={"partition": number})
                self._rows.drop()
                return False
            self.folded += self._rows.fold(events, {number: page.end})
            return True

        if self._asked(act):
            self.done[number] = page.end
            self._took(len(events), max(0.0, (self._tenant.clock.now() - page.records[-1].ingested_at) / 1e3))
            return True
        return False

    def follow(self, page: Page) -> None:
        """Fold a page that comes from wherever an engine that keeps its own places goes on.

        What the rows hold is left out, and what they lack before it is read from the log.

        Raises:
            StoreUnavailableError: the log can't be read; the same page may come again.
        """
        number, begun = page.partition, page.partition in self.done
        while True:
            if not begun:
                self.begin(number)
            begun = self._reach(number, page.first)
            if begun and (kept := page.records[max(0, self.done[number] - page.first) :]):
                begun = self.fold(Page(page.topic, number, page.end - len(kept), kept))
            if begun:
                return

    def _reach(self, number: int, offset: int) -> bool:
        """Fold from the log what is missing below an offset; return False where the store has lost rows meanwhile."""
        part = self._log.partition(number)
        while (done := self.done[number]) < offset:
            first, records = part.read("user_events", done, min(READ, offset - done))
            records = records[: max(0, offset - first)]
            if not records:
                return True  # nothing is kept there
            if not self.fold(Page("user_events", number, first, records)):
                return False
        return True

    def _progress(self, number: int) -> int:
        return self._store.read([], [number])[1][0]

    def _asked(self, act: Callable[[], T]) -> T:
        """Return what the store answers, asking until it does.

        Raises:
            StoreUnavailableError: it did not until it was time to end.
        """
        while True:
            try:
                return act()
            except StoreUnavailableError as error:
                logger.warning("the store does not answer; trying again", extra={"error": str(error)})
                if self._ending.wait(PAUSE):
                    raise

    def _ids(self, number: int, upto: int) -> Duplicates:
        """Return the ids of the partition's newest events below an offset, as far back as an id counts once."""
        horizon = self._tenant.settings.state.dedupe_hours * HOUR
        found, part = Duplicates(horizon), self._log.partition(number)
        position = part.offset_at("user_events", self._tenant.clock.now() - horizon)
        while position < upto:
            first, records = part.read("user_events", position, min(20_000, upto - position))
            if not records:
                break
            found.taken(*ids_of(records))
            position = first + len(records)
        return found
