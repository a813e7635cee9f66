"""A stream worker: some partitions of a shared log folded into stored rows, as one of a group of processes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from nearline.app.tenant import Tenant
from nearline.schema.errors import StoreUnavailableError
from nearline.stores.log import Grouped, Log
from nearline.stores.user_rows import UserRows
from nearline.stream.partitions import PartitionsFolder
from nearline.stream.write_behind import PAUSE

logger = logging.getLogger("nearline.stream")
GROUP = "stream"
LOOK = 0.1
"""Seconds that the log is waited for at a time."""
COMMIT = 1.0
"""Seconds between two commits of offsets; after a crash so much is read again, and found in the rows."""


class StreamWorker:
    """Folds the events of the partitions that the group gives it.

    Args:
        tenant: whose.
        log: a shared one.
        store: where rows go.
        took: called after each batch is in the store, from another thread, with (events, seconds since the newest of them
            was ingested).
    """

    def __init__(
        self, tenant: Tenant, log: Log, store: UserRows, took: Callable[[int, float], None] = lambda n, seconds: None
    ) -> None:
        self._log, self._ending = log, threading.Event()
        self.folder = PartitionsFolder(tenant, log, store, self._ending, took)
        self.partitions: set[int] = set()

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
        folder, done = self.folder, self.folder.done
        self.partitions.clear()
        folder.restart()
        group, told, at = self._log.group(GROUP, self._given, self._taken), dict(done), time.monotonic()
        try:
            while not self._ending.is_set():
                pages = group.next(LOOK)
                begun = self._begun()
                for page in pages:
                    # What was read before its partition began anew comes again.
                    if page.partition in self.partitions and page.partition not in begun and not folder.fold(page):
                        begun = self._begun()
                if not pages and not folder.settle():
                    begun = self._begun()
                if begun:
                    group.seek(begun)
                if done != told and time.monotonic() - at > COMMIT:
                    group.commit(done)
                    told, at = dict(done), time.monotonic()
            folder.settle()
            group.commit(done)
        finally:
            group.close()

    def _begun(self) -> dict[int, int]:
        """Begin with partitions that are new or begin again; return from where they go on."""
        folder = self.folder
        if self.partitions <= folder.done.keys():
            return {}
        folder.settle()  # what was lost shows now, and those that lost it begin again too
        return {number: folder.begin(number) for number in sorted(self.partitions - folder.done.keys())}

    def _given(self, numbers: dict[int, int]) -> None:
        """Take partitions over; where they go on, the store says."""
        self.partitions.update(numbers)

    def _taken(self, numbers: list[int]) -> None:
        """Let partitions go; their rows are another's now."""
        self.partitions.difference_update(numbers)
        self.folder.leave(numbers)
