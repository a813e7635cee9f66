"""A stream worker: some partitions of a shared log folded into stored rows, as one of a group of processes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from nearline.app.tenant import Tenant
from nearline.schema.clock import HOUR
from nearline.schema.errors import StoreUnavailableError
from nearline.stores.dedupe import Duplicates
from nearline.stores.encode import events_from_records, ids_of
from nearline.stores.log import Grouped, Log, Page
from nearline.stores.user_rows import UserRows
from nearline.stream.rows import RowsFolder

logger = logging.getLogger("nearline.stream")
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
        self._folder = RowsFolder(tenant.user_state, store)
        self._duplicates: dict[int, Duplicates] = {}
        self._ending = threading.Event()
        self.partitions: set[int] = set()
        self.folded = self.dropped = 0

    def stop(self) -> None:
        """Let `run` return after the batch under way."""
        self._ending.set()

    def run(self) -> None:
        """Work until stopped."""
        assert isinstance(self._log, Grouped)
        group = self._log.group(GROUP, self._given, self._taken)
        done: dict[int, int] = {}
        committed = time.monotonic()
        try:
            while not self._ending.is_set():
                for page in group.next(LOOK):
                    if page.partition not in self.partitions:
                        continue
                    self._fold(page)
                    done[page.partition] = page.end
                if done and time.monotonic() - committed > COMMIT:
                    group.commit({number: end for number, end in done.items() if number in self.partitions})
                    done, committed = {}, time.monotonic()
            group.commit({number: end for number, end in done.items() if number in self.partitions})
        finally:
            group.close()

    def _fold(self, page: Page) -> None:
        """Fold a page, however long the store takes to answer."""
        new = self._duplicates[page.partition].taken(*ids_of(page.records))
        events = events_from_records(page.records, page.first, self._tenant.kinds)[new]
        self.dropped += len(new) - len(events)
        while True:
            try:
                self.folded += self._folder.fold(events, {page.partition: page.end})
            except StoreUnavailableError as error:
                logger.warning("rows can't be stored; trying again", extra={"error": str(error)})
                if self._ending.wait(PAUSE):
                    return
                continue
            self._took(len(events), max(0.0, (self._tenant.clock.now() - page.records[-1].ingested_at) / 1e3))
            return

    def _given(self, numbers: dict[int, int]) -> None:
        """Take partitions over, from the offsets that the group committed."""
        for number, offset in numbers.items():
            self._duplicates[number] = self._ids(number, offset)
            self.partitions.add(number)
            logger.info("partition taken over", extra={"partition": number, "offset": offset})

    def _taken(self, numbers: list[int]) -> None:
        """Let partitions go; their rows are another's now."""
        for number in numbers:
            self.partitions.discard(number)
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
