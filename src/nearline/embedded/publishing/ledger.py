"""The ledger: whose lists are due, which are on their way, and up to where nothing is left to do."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Iterable

from msgspec import Struct

from nearline.schema.event import CARRIED, ERASE
from nearline.schema.ids import key
from nearline.stores.log import Page

KNOWN = 100_000
"""Visitors of whom it is remembered what their last list had seen."""


class Due(Struct):
    """A visitor whose lists are to be made.

    Attributes:
        first, last: offsets of the events, in his partition, that they are made for.
        since: monotonic seconds when the first of them was read.
        at: monotonic seconds when they are due.
        erased: whether the last of them erased him.
    """

    visitor: int
    user_id: str
    partition: int
    first: int
    last: int
    since: float
    at: float
    erased: bool = False


class Ticket(Struct):
    """Deliveries that belong together; when none is left, the events that they were made for are done."""

    partition: int
    first: int
    since: float
    left: int = 0


class Ledger:
    """Kept by one thread; what is delivered by others they put into `settled`.

    Args:
        on: names of the event types that are meaningful.
        wait: seconds from an event to its lists.
    """

    def __init__(self, on: Iterable[str], wait: float) -> None:
        self._on, self._wait = {*on, *(CARRIED + name for name in on), ERASE}, wait
        self.due: OrderedDict[int, Due] = OrderedDict()
        self.settled: deque[Ticket] = deque()
        self._open: dict[int, list[Ticket]] = {}
        self._read: dict[int, int] = {}
        self._seen: OrderedDict[int, int] = OrderedDict()
        self.noted = 0
        """Meaningful events that were read."""

    @property
    def partitions(self) -> list[int]:
        """Those that are ours."""
        return sorted(self._read)

    def given(self, starts: dict[int, int]) -> None:
        """Take partitions over, each from an offset on."""
        self._read |= starts
        self._open |= {number: [] for number in starts}

    def taken(self, numbers: Iterable[int]) -> None:
        """Let partitions go: what is due there is another's, who reads it again."""
        gone = set(numbers)
        for number in gone:
            self._read.pop(number, None)
            self._open.pop(number, None)
        for due in [due for due in self.due.values() if due.partition in gone]:
            del self.due[due.visitor]
        self._seen.clear()

    def note(self, page: Page) -> None:
        """Read a page: who did something that counts is due, unless his last list has seen it."""
        if page.partition not in self._read:
            return
        now = time.monotonic()
        for offset, record in enumerate(page.records, page.first):
            if record.event_type not in self._on or not record.user_id:
                continue
            visitor = key(record.user_id)
            if offset < self._seen.get(visitor, 0):
                continue
            self.noted += 1
            due = self.due.get(visitor)
            if due is None:
                due = Due(visitor, record.user_id, page.partition, offset, offset, now, now + self._wait)
                self.due[visitor] = due
            due.last, due.erased = offset, record.event_type == ERASE
        self._read[page.partition] = page.end

    def ready(self, most: int) -> list[Due]:
        """Return up to `most` whose time has come; they stay due."""
        now, out = time.monotonic(), []
        for due in self.due.values():
            if due.at > now and due.since + self._wait > now:
                break  # what came later is due later
            if due.at <= now:
                out.append(due)
                if len(out) == most:
                    break
        return out

    def later(self, due: Due, seconds: float) -> None:
        """Ask for these again after a while."""
        due.at = time.monotonic() + seconds

    def begun(self, due: Due, seen: int, deliveries: int) -> Ticket:
        """Enter that lists were made which have seen everything below an offset; return their ticket."""
        self.due.pop(due.visitor, None)
        self._seen[due.visitor] = seen
        self._seen.move_to_end(due.visitor)
        if len(self._seen) > KNOWN:
            self._seen.popitem(last=False)
        ticket = Ticket(due.partition, due.first, due.since, deliveries)
        if deliveries and due.partition in self._open:
            self._open[due.partition].append(ticket)
        return ticket

    def done(self) -> dict[int, int]:
        """Return, by partition, the offset below which nothing is left to do."""
        while self.settled:
            ticket = self.settled.popleft()
            ticket.left -= 1
        out = dict(self._read)
        for number, tickets in self._open.items():
            tickets[:] = [ticket for ticket in tickets if ticket.left > 0]
            out[number] = min([out[number], *(ticket.first for ticket in tickets)])
        for due in self.due.values():
            if due.partition in out:
                out[due.partition] = min(out[due.partition], due.first)
        return out

    @property
    def oldest(self) -> float:
        """Seconds since the oldest event was read whose lists are not delivered; 0 where there is none."""
        since = [due.since for due in list(self.due.values())[:1]]
        since += [ticket.since for tickets in list(self._open.values()) for ticket in tickets[:1]]
        return time.monotonic() - min(since) if since else 0.0
