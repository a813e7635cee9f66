"""The follower: state moved by what is read from a shared log, whoever wrote it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.schema.event import Topic
from nearline.stores.log import Ends, Log, Tail
from nearline.stream.local import LocalStream

logger = logging.getLogger("nearline.follower")
LOOK = 0.05
"""Seconds that the log is waited for at a time; who waits in vain hears of it so much later at most."""
PATIENCE = 0.25
"""Seconds that an answer waits for the state; what is durable is acknowledged then, and folded when it comes."""
PAUSE = 0.5
"""Seconds between two tries of a log that can't be read."""
MEASURE = 1.0
"""Seconds between two looks at the log's ends."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    topic: Topic
    ends: Ends
    future: asyncio.Future[Ends]
    until: float


class Follower:
    """A thread that folds what comes, and tells on the loop whoever waits when it has come so far.

    Args:
        log: a shared one, read from where `stream` is.
        stream: what is moved, by this thread alone.
        loop: where futures live.
        folded: called on the loop after events were folded, with their number.
        broken: called on the loop when the state could not follow; nothing is folded after that.
    """

    def __init__(
        self,
        log: Log,
        stream: LocalStream,
        loop: asyncio.AbstractEventLoop,
        folded: Callable[[int], None] = lambda n: None,
        broken: Callable[[Exception], None] = lambda error: None,
    ) -> None:
        self._log, self._stream, self._loop = log, stream, loop
        self._folded, self._broken = folded, broken
        self._done = stream.positions(log)
        self._waiting: list[_Waiting] = []
        self._ending = threading.Event()
        self._measured = 0.0
        self.lag = 0
        """Events that the log held beyond the state when it was last looked at."""
        self.answers = True
        """Whether the log answered then."""
        self._thread = threading.Thread(target=self._work, name="nearline-follower", daemon=True)
        self._thread.start()

    def settle(self, topic: Topic, ends: Ends, future: asyncio.Future[Ends]) -> None:
        """Resolve a future once the state has seen what is durable already, or after a while; called on the loop."""
        waiting = _Waiting(topic, ends, future, time.monotonic() + PATIENCE)
        if not self._settled(waiting):
            self._waiting.append(waiting)
            # By the loop's own clock: the thread may be asking a log that does not answer.
            self._loop.call_later(PATIENCE, self._wake, 0)

    def _settled(self, waiting: _Waiting) -> bool:
        seen = all(self._done[waiting.topic, number] >= end for number, end in waiting.ends.items())
        if not (seen or self._ending.is_set() or time.monotonic() >= waiting.until):
            return False
        if not waiting.future.done():
            waiting.future.set_result(waiting.ends)
        return True

    def _wake(self, events: int) -> None:
        self._waiting = [waiting for waiting in self._waiting if not self._settled(waiting)]
        if events:
            self._folded(events)

    def close(self) -> None:
        """End the thread; what waits is told on the loop's next turn."""
        self._ending.set()
        self._thread.join()
        self._loop.call_soon_threadsafe(self._wake, 0)

    def _work(self) -> None:
        tail: Tail | None = None
        try:
            while not self._ending.is_set():
                try:
                    # Before anything is taken in: what fails here must cost no page.
                    if time.monotonic() - self._measured > MEASURE:
                        self._measure()
                    tail = tail or self._log.tail(self._done)
                    pages = tail.next(LOOK)
                except StoreUnavailableError as error:
                    self.answers = False
                    logger.warning("the log can't be read; what was folded serves", extra={"error": str(error)})
                    # From where the state is: what this tail had taken in and not handed over would be missed.
                    if tail is not None:
                        tail.close()
                        tail = None
                    self._ending.wait(PAUSE)
                    continue
                events = 0
                for page in pages:
                    done = self._done[page.topic, page.partition]
                    if 0 < done < page.first:
                        # Away for longer than the log keeps its records: the lake has them, and a start reads it.
                        raise NearlineError(f"{page.topic} offset", done, f"the log begins at {page.first} by now; start again")
                    self._stream.take(page)
                    self._done[page.topic, page.partition] = page.end
                    events += len(page.records) if page.topic == "user_events" else 0
                if pages or self._waiting:
                    self._loop.call_soon_threadsafe(self._wake, events)
        except Exception as error:
            if not self._ending.is_set():
                logger.critical("the state could not follow the log", exc_info=error)
                self._loop.call_soon_threadsafe(self._broken, error)
        finally:
            if tail is not None:
                tail.close()

    def _measure(self) -> None:
        try:
            ends = {n: self._log.partition(n).end("user_events") for n in range(self._log.partitions)}
        finally:
            self._measured = time.monotonic()
        self.lag = sum(max(0, end - self._done["user_events", n]) for n, end in ends.items())
        self.answers = True
