"""A stream worker: some partitions of a shared log folded into stored rows, as one of a group of processes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from nearline.app.tenant import Tenant
from nearline.schema.clock import HOUR
from nearline.schema.errors import StoreUnavailableError
from nearline.stores.dedupe import Duplicates
from nearline.stores.encode import belonging, events_from_records, ids_of
from nearline.stores.log import Grouped, Log, Page
from nearline.stores.user_rows import UserRows
from nearline.stream.rows import RowsFolder

logger = logging.getLogger("nearline.stream")
T = TypeVar("T")
GROUP = "stream"
LOOK = 0.1
"""Seconds that the log is waited for at a time."""
COMMIT = 1.0
"""Seconds between two commits of offsets; after a crash so much is read again, and found in the rows."""
PAUSE = 0.5
"""Seconds between two tries of a store that does not answer."""


class StreamWorker:
    """Folds the events of the partitions that the group gives it.

    Args:
        tenant: whose.
        log: a shared one.
        store: where rows go.
        took: called after each batch with (events, seconds since the newest of them was ingested).
    """

    def __init__(
        self, tenant: Tenant, log: Log, store: UserRows, took: Callable[[int, float], None] = lambda n, seconds: None
    ) -> None:
        self._tenant, self._log, self._took = tenant, log, took
        self._store, self._folder = store, RowsFolder(tenant.user_state, store)
        self._done: dict[int, int] = {}
        self._duplicates: dict[int, Duplicates] = {}
        self._ending = threading.Event()
        self.partitions: set[int] = set()
        self.folded = self.dropped = self.poison = 0

    def stop(self) -> None:
        """Let `run` return after the batch under way."""
        self._ending.set()

    def run(self) -> None:
        """Work until stopped, whatever log and store do."""
        while not self._ending.is_set():
            try:
                self._work()
            except StoreUnavailableError as error:
                if not self._ending.is_set():
                    # What was taken in and not folded is read again, from where the store is.
                    logger.warning("the log can't be read; joining the group again", extra={"error": str(error)})
                    self._ending.wait(PAUSE)

    def _work(self) -> None:
        assert isinstance(self._log, Grouped)
        self.partitions.clear()
        self._done.clear()
        group, told, at = self._log.group(GROUP, self._given, self._taken), dict(self._done), time.monotonic()
        try:
            while not self._ending.is_set():
                pages = group.next(LOOK)
                begun = {number: self._begin(number) for number in sorted(self.partitions - self._done.keys())}
                for page in pages:
                    # What was read before its partition began anew comes again.
                    if page.partition in self.partitions and page.partition not in begun and not self._fold(page):
                        begun[page.partition] = self._begin(page.partition)
                if begun:
                    group.seek(begun)
                if self._done != told and time.monotonic() - at > COMMIT:
                    group.commit(self._done)
                    told, at = dict(self._done), time.monotonic()
            group.commit(self._done)
        finally:
            group.close()

    def _fold(self, page: Page) -> bool:
        """Fold a page, however long the store takes to answer; return False where it has lost what was written before."""
        number, kinds = page.partition, self._tenant.kinds
        new = self._duplicates[number].taken(*ids_of(page.records))
        events = events_from_records(page.records, page.first, kinds)
        own = belonging(events, number, self._log.partitions)
        self.dropped += len(new) - int(new.sum())
        self.poison += len(own) - int(own.sum())
        events = events[new & own]

        def act() -> bool:
            if self._progress(number) < self._done[number]:
                logger.warning("the store lost rows; folding again what they lack", extra={"partition": number})
                self._folder.drop()
                return False
            self.folded += self._folder.fold(events, {number: page.end})
            return True

        if self._asked(act):
            self._done[number] = page.end
            self._took(len(events), max(0.0, (self._tenant.clock.now() - page.records[-1].ingested_at) / 1e3))
            return True
        return False

    def _begin(self, number: int) -> int:
        """Begin with a partition from where its rows are in the store, which counts, whatever the group remembers."""
        self._done[number] = offset = self._asked(lambda: self._progress(number))
        self._duplicates[number] = self._ids(number, offset)
        logger.info("partition begun", extra={"partition": number, "offset": offset})
        return offset

    def _progress(self, number: int) -> int:
        return self._store.read([], [number])[1][0]

    def _asked(self, act: Callable[[], T]) -> T:
        """Return what the store answers, asking until it does.

        Raises:
            StoreUnavailableError: it did not until the worker was stopped.
        """
        while True:
            try:
                return act()
            except StoreUnavailableError as error:
                logger.warning("the store does not answer; trying again", extra={"error": str(error)})
                if self._ending.wait(PAUSE):
                    raise

    def _given(self, numbers: dict[int, int]) -> None:
        """Take partitions over; where they go on, the store says."""
        self.partitions.update(numbers)

    def _taken(self, numbers: list[int]) -> None:
        """Let partitions go; their rows are another's now."""
        for number in numbers:
            self.partitions.discard(number)
            self._done.pop(number, None)
            self._duplicates.pop(number, None)
            logger.info("partition handed over", extra={"partition": number})
        self._folder.drop()

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
