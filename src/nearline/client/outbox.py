"""Events on their way: a bounded queue, batches of it, and what became of them. Neither a thread nor a socket in here."""

from __future__ import annotations

import itertools
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic, time_ns
from typing import Any, Literal

import msgspec

from nearline.client.types import EventsTaken, Rejection

logger = logging.getLogger("nearline.client")
MOST = 1_000
"""Events that the API takes at a time."""
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class OutboxOptions:
    """How events wait and leave.

    Attributes:
        queue: events that may wait.
        full: which is dropped when more come: the "newest", so that what was accepted stays accepted, or the "oldest".
        batch: events in a request at most, up to 1,000.
        seconds: after which waiting events are sent, be they few.
        body_bytes: of a request at most; the server's `server.max_body_bytes` is the limit.
        stamp: whether events get the time of the call. Off, they get the server's when they arrive, which suits a server
            whose clock goes on from imported data.
        on_rejected: told about each event that the server refused, on the sending thread.
    """

    queue: int = 10_000
    full: Literal["newest", "oldest"] = "newest"
    batch: int = 200
    seconds: float = 0.2
    body_bytes: int = 1_000_000
    stamp: bool = True
    on_rejected: Callable[[Rejection, bytes], None] | None = None


@dataclass(frozen=True, slots=True)
class OutboxStats:
    """What became of events.

    Attributes:
        accepted: that `event` took.
        sent: that the server confirmed to be durable.
        waiting: in the queue or in a request.
        dropped: not taken, or pushed out, because the queue was full or the client closed.
        rejected: that the server refused; each is logged.
        lost: accepted, but given up when the client was closed, or refused for the API key.
        retries: requests that were repeated.
    """

    accepted: int = 0
    sent: int = 0
    waiting: int = 0
    dropped: int = 0
    rejected: int = 0
    lost: int = 0
    retries: int = 0


class Outbox:
    """The queue of one client; any thread may put, one sends.

    Args:
        options: how events wait and leave.
        notify: called, on the putting thread, when the sender should look.
    """

    def __init__(self, options: OutboxOptions, notify: Callable[[], None]) -> None:
        if not 1 <= options.batch <= MOST:
            raise ValueError(f"batch = {options.batch}: the API takes 1 to {MOST} events at a time")
        self.options, self._notify = options, notify
        self.closing = False
        self.restart()

    def restart(self) -> None:
        """Forget everything, in a forked child: what waits is the parent's to send."""
        self._lock = threading.Lock()
        self._queue: deque[bytes] = deque()
        self._oldest = 0.0
        self._flushing = False
        self._in_flight = 0
        self._prefix, self._numbers = os.urandom(9).hex(), itertools.count()
        self._accepted = self._sent = self._dropped = self._rejected = self._lost = self.retries = 0

    def put(self, event: dict[str, Any]) -> str | None:
        """Take an event; return its id, or None where it was dropped. Never waits.

        Raises:
            TypeError: it holds what JSON can't.
        """
        event_id: str = event.setdefault("event_id", "") or f"{self._prefix}-{next(self._numbers)}"
        event["event_id"] = event_id
        if self.options.stamp and event.get("timestamp") is None:
            event["timestamp"] = time_ns() // 1_000_000
        encoded = _encode(event)
        with self._lock:
            if self.closing or len(self._queue) + self._in_flight >= self.options.queue:
                self._dropped += 1
                if self.closing or self.options.full == "newest" or not self._queue:
                    return None
                self._queue.popleft()
            self._accepted += 1
            self._queue.append(encoded)
            waiting = len(self._queue)
            if waiting == 1:
                self._oldest = monotonic()
        if waiting == 1 or waiting == self.options.batch:
            self._notify()
        return event_id

    def due(self) -> float | None:
        """Return the seconds until a batch should leave, None where nothing waits."""
        with self._lock:
            if not self._queue:
                self._flushing = False
                return None
            if self.closing or self._flushing or len(self._queue) >= self.options.batch:
                return 0.0
            return max(0.0, self._oldest + self.options.seconds - monotonic())

    def flush(self) -> None:
        """Make everything that waits due now."""
        with self._lock:
            self._flushing = True
        self._notify()

    def take(self) -> list[bytes]:
        """Take a batch out of the queue."""
        batch: list[bytes] = []
        size = 2
        with self._lock:
            while (
                self._queue
                and len(batch) < self.options.batch
                and (size + len(self._queue[0]) < self.options.body_bytes or not batch)
            ):
                batch.append(self._queue.popleft())
                size += len(batch[-1]) + 1
            self._in_flight += len(batch)
            self._oldest = monotonic()
        return batch

    @staticmethod
    def body(batch: list[bytes]) -> bytes:
        """Return a batch as the body of a request."""
        return b"[" + b",".join(batch) + b"]"

    def settle(self, batch: list[bytes], status: int, body: bytes) -> list[list[bytes]]:
        """Count what an answer other than "busy" says of a batch; return parts that must be sent by themselves."""
        if status == 413 and len(batch) > 1:
            half = len(batch) // 2
            return [batch[:half], batch[half:]]
        taken = _taken(body, status, len(batch))
        refused = status in (401, 403, 404, 405)
        with self._lock:
            self._in_flight -= len(batch)
            if refused:
                self._lost += len(batch)
            else:
                self._sent += taken.accepted
                self._rejected += len(batch) - taken.accepted
        if refused:
            logger.error(
                "%d events lost: the server answered %d: %s", len(batch), status, body[:200].decode("utf-8", "replace")
            )
        for rejection in taken.rejected if not refused else ():
            logger.warning("event rejected: %s = %r: %s", rejection.field, rejection.value, rejection.remedy)
            if self.options.on_rejected is not None and rejection.index < len(batch):
                self.options.on_rejected(rejection, batch[rejection.index])
        return []

    def give_up(self, batch: list[bytes]) -> None:
        """Count a batch, and what still waits, as lost: the client closes and the server can't be reached."""
        with self._lock:
            lost = len(batch) + len(self._queue)
            self._queue.clear()
            self._in_flight -= len(batch)
            self._lost += lost
        if lost:
            logger.error("%d events lost: the client was closed and the server could not be reached in time", lost)

    @property
    def waiting(self) -> int:
        """Return the number of events in the queue or in a request."""
        return len(self._queue) + self._in_flight

    def stats(self) -> OutboxStats:
        """Return what became of events so far."""
        with self._lock:
            return OutboxStats(
                self._accepted, self._sent, self.waiting, self._dropped, self._rejected, self._lost, self.retries
            )  # fmt: skip


def _taken(body: bytes, status: int, n: int) -> EventsTaken:
    try:
        taken = msgspec.json.decode(body, type=_Answer)
    except msgspec.DecodeError:
        taken = _Answer()
    if 200 <= status < 300:
        # Whoever answers 2xx without saying how many took them all.
        return EventsTaken(n - len(taken.rejected) if taken.accepted is None else taken.accepted, taken.rejected)
    return EventsTaken(0, taken.rejected or [Rejection(0, "batch", status, taken.detail)])


class _Answer(msgspec.Struct):
    accepted: int | None = None
    rejected: list[Rejection] = []
    detail: str = ""


def event_of(
    event_type: str,
    user_id: str,
    item_id: str,
    session_id: str,
    timestamp: int | None,
    event_id: str,
    context: Mapping[str, Any] | None,
    value: Mapping[str, Any] | None,
    where: Mapping[str, Any],
    what: Mapping[str, Any],
) -> dict[str, Any]:
    """Return an event as the API has it; fields that say nothing are left out."""
    event: dict[str, Any] = {"event_type": event_type}
    for name, said in (("user_id", user_id), ("item_id", item_id), ("session_id", session_id), ("event_id", event_id)):
        if said:
            event[name] = said
    if timestamp is not None:
        event["timestamp"] = timestamp
    inside = {**(context or {}), **{name: said for name, said in where.items() if said not in ("", None)}}
    if inside:
        event["context"] = inside
    carried = {**(value or {}), **{name: said for name, said in what.items() if said is not None}}
    if carried:
        event["event_value"] = carried
    return event
