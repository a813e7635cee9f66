"""Partitions of a shared log folded into stored rows: the code that every engine of the stream calls, a page at a time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence

from nearline.app.tenant import Tenant
from nearline.schema.clock import HOUR
from nearline.schema.errors import StoreUnavailableError
from nearline.stores.dedupe import Duplicates
from nearline.stores.encode import belonging, events_from_records, ids_of
from nearline.stores.log import Log, Page
from nearline.stores.user_rows import RowsLostError, UserRows
from nearline.stream.rows import RowsFolder
from nearline.stream.write_behind import WriteBehind

logger = logging.getLogger("nearline.stream")
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
        took: called after each page is in the store, from another thread, with (events, seconds since the newest was ingested).
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
        self._store = WriteBehind(store, ending or threading.Event(), self._stored)
        self._rows = RowsFolder(tenant.user_state, self._store)
        self._duplicates: dict[int, Duplicates] = {}
        self._upto: dict[int, int] = {}
        self._newest: dict[tuple[int, int], tuple[int, int]] = {}
        self.done: dict[int, int] = {}
        """How far the rows in the store are, of the partitions that have begun."""
        self.folded = self.dropped = self.poison = 0
        self.behind = 0.0
        """Seconds from taking the newest stored event to its row."""

    @property
    def answers(self) -> bool:
        """Whether the store answered when it was last asked."""
        return self._store.answers

    @property
    def lags(self) -> dict[str, float]:
        """Events that are not in the rows, by partition; empty while the log does not answer."""
        try:
            return {str(n): max(0.0, self._log.partition(n).end("user_events") - done) for n, done in [*self.done.items()]}
        except StoreUnavailableError:
            return {}

    def begin(self, number: int) -> int:
        """Begin with a partition from where its rows are in the store, and return that offset.

        Raises:
            StoreUnavailableError: the store did not answer until it was time to end.
        """
        if not self.settle():
            logger.warning("partitions begin again")
        self.done[number] = self._upto[number] = offset = self._store.read([], [number])[1][0]
        self._duplicates[number] = self._ids(number, offset)
        logger.info("partition begun", extra={"partition": number, "offset": offset})
        return offset

    def leave(self, numbers: list[int]) -> None:
        """Let partitions go; their rows are another's now."""
        try:
            self.settle()
        except StoreUnavailableError as error:
            logger.warning("rows were not written; who takes over folds them", extra={"error": str(error)})
        for number in numbers:
            self._forget(number)
            logger.info("partition handed over", extra={"partition": number})
        self._rows.drop()

    def restart(self) -> None:
        """Let all partitions go."""
        self.leave(list(self.done))

    def fold(self, page: Page) -> bool:
        """Fold the next page of a partition that has begun, and have its rows written while the next is folded.

        Returns:
            Whether it was; False where the store has lost what was written before: all partitions begin again.

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
        self._newest[number, page.end] = len(events), page.records[-1].ingested_at
        try:
            self.folded += self._rows.fold(events, {number: page.end})
        except RowsLostError:
            self._lost()
            return False
        self._upto[number] = page.end
        return True

    def settle(self) -> bool:
        """Wait until all that was folded is in the store.

        Returns:
            Whether it is; False where the store has lost what was written before: all partitions begin again.

        Raises:
            StoreUnavailableError: the store did not answer until it was time to end.
        """
        try:
            self._store.settle()
        except RowsLostError:
            self._lost()
            return False
        return True

    def follow(self, pages: Sequence[Page]) -> None:
        """Fold pages that come from wherever an engine that keeps its own places goes on; all are in the store then.

        What the rows hold is left out, and what they lack before a page is read from the log.

        Raises:
            StoreUnavailableError: the log can't be read; the same pages may come again.
        """
        while any(self.done.get(page.partition, -1) < page.end for page in pages):
            # One page's rows are written while the next is folded; where the store lost some, all begin again.
            if all(self._followed(page) for page in pages):
                self.settle()

    def _followed(self, page: Page) -> bool:
        number = page.partition
        if number not in self.done:
            self.begin(number)
        if not self._reach(number, page.first):
            return False
        kept = page.records[max(0, self._upto[number] - page.first) :]
        return not kept or self.fold(Page(page.topic, number, page.end - len(kept), kept))

    def _stored(self, progress: Mapping[int, int]) -> None:
        now = self._tenant.clock.now()
        for number, end in progress.items():
            events, ingested_at = self._newest.pop((number, end))
            self.done[number], self.behind = end, max(0.0, (now - ingested_at) / 1e3)
            self._took(events, self.behind)

    def _lost(self) -> None:
        logger.warning("the store lost rows; folding again what they lack")
        self._rows.drop()
        for number in list(self.done):
            self._forget(number)

    def _forget(self, number: int) -> None:
        for kept in (self.done, self._upto, self._duplicates):
            kept.pop(number, None)

    def _reach(self, number: int, offset: int) -> bool:
        """Fold from the log what is missing below an offset; return False where the store has lost rows meanwhile."""
        part = self._log.partition(number)
        while (done := self._upto[number]) < offset:
            first, records = part.read("user_events", done, min(READ, offset - done))
            records = records[: max(0, offset - first)]
            if not records:
                return True  # nothing is kept there
            if not self.fold(Page("user_events", number, first, records)):
                return False
        return True

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
