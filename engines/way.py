"""An event's way, measured from outside: in the log, in its visitor's row, in the next list."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from rich.console import Console
from rich.table import Table

from nearline.app.tenant import Tenant
from nearline.cli.walk import Walk
from nearline.schema.ids import partition_of, visitor_key
from nearline.stores.adapters import shown
from nearline.stores.log import Log
from nearline.stores.user_rows import UserRows

PATIENCE = 10.0
"""Seconds that an event may take to be seen."""
LOOK = 0.0005
"""Seconds between two looks at the rows."""


class Watch:
    """Two threads that note when a log's readers get records, and when rows have them.

    Args:
        log: read from its ends on.
        rows: whose progress is looked at.
    """

    def __init__(self, log: Log, rows: UserRows) -> None:
        self._log, self._rows = log, rows
        self._ending = threading.Event()
        self.read: dict[tuple[int, int], float] = {}
        """By partition and offset after a record: when a reader of the log had it (`time.perf_counter`)."""
        self.stored: dict[tuple[int, int], float] = {}
        """The same for the rows' progress."""
        ends = {("user_events", n): log.partition(n).end("user_events") for n in range(log.partitions)}
        self._tail = log.tail({("user_events", n): end for (_, n), end in ends.items()})
        self._threads = [threading.Thread(target=act, daemon=True) for act in (self._follow, self._look)]

    def __enter__(self) -> Watch:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()
        self._tail.close()

    def _follow(self) -> None:
        while not self._ending.is_set():
            for page in self._tail.next(0.05):
                self.read.setdefault((page.partition, page.end), time.perf_counter())

    def _look(self) -> None:
        numbers = range(self._log.partitions)
        while not self._ending.is_set():
            for number, progress in zip(numbers, self._rows.read([], numbers)[1], strict=True):
                self.stored.setdefault((number, progress), time.perf_counter())
            time.sleep(LOOK)

    def until(self, found: Walk) -> None:
        """Wait until a walk's click was seen in the log and in the rows."""
        number, until = partition_of(visitor_key(found.user_id, ""), self._log.partitions), time.monotonic() + PATIENCE
        while time.monotonic() < until and not all(ms(seen, number, found) for seen in (self.read, self.stored)):
            time.sleep(0.01)

    def way(self, found: Walk) -> tuple[int, float, float]:
        """Return a click's partition, and ms from sending it until a reader of the log had it, and until its row had it."""
        number = partition_of(visitor_key(found.user_id, ""), self._log.partitions)
        return number, ms(self.read, number, found), ms(self.stored, number, found)


def ms(seen: dict[tuple[int, int], float], number: int, found: Walk) -> float:
    """Return ms from sending a walk's click until a partition was beyond it; 0 where it never was."""
    times = [at for (partition, end), at in list(seen.items()) if partition == number and end > found.offset]
    return 1e3 * (min(times) - found.sent) if times else 0.0


def told(found: Walk, watch: Watch, tenant: Tenant, out: Console) -> None:
    """Print an event's way."""
    storage, (number, read, stored) = tenant.settings.storage, watch.way(found)
    table = Table("the click's way", "where", "after", box=None, padding=(0, 2, 0, 0))
    place = f"partition {number}, offset {found.offset:,}"
    table.add_row("in the log, for all who read it", f"{shown(storage.log)}, {place}", f"{read:.1f} ms")
    table.add_row("answered with 202: on disk", "the server", f"{found.durable_ms:.1f} ms")
    table.add_row("in the visitor's row", f"{shown(storage.state)}, by the stream worker", f"{stored:.1f} ms")
    table.add_row("in the next list", "the server", f"{found.shown_ms:.1f} ms")
    out.print()
    out.print(table)
