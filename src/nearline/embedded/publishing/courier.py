"""The courier: delivers to one subscriber, on a thread of its own, so that one that fails holds no other up."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from msgspec import Struct

from nearline.embedded.publishing.dead import DeadLetter, DeadLetters
from nearline.schema.clock import Clock
from nearline.schema.errors import StoreUnavailableError
from nearline.schema.result import Result
from nearline.stores.subscriber import Failure, Subscriber

logger = logging.getLogger("nearline.publish")
BATCH = 100
"""Results that are delivered at once."""
MOST = 10_000
"""Results that may wait; when more come, the oldest are given up."""
FIRST, LONGEST = 0.25, 30.0
"""Seconds before the second try, and at most between two; each pause is twice the one before, give or take half of it."""


class _Waiting(Struct, eq=False):
    result: Result
    settled: Callable[[], object]
    since: float
    tries: int = 0
    ready: float = 0.0


class Courier:
    """A queue with the newest result of each user and surface, in the order in which they came.

    Args:
        name: of the subscriber, for lines, metrics and dead letters.
        subscriber: asked by this thread alone.
        dead: takes what was given up.
        clock: gives the time of a dead letter.
        budget: seconds for which delivery is tried again.
    """

    def __init__(self, name: str, subscriber: Subscriber, dead: DeadLetters, clock: Clock, budget: float) -> None:
        self.name, self._subscriber, self._letters, self._clock, self._budget = name, subscriber, dead, clock, budget
        self._waiting: OrderedDict[tuple[str, str], _Waiting] = OrderedDict()
        self._changed = threading.Condition()
        self._ending = False
        self._resume, self._failures = 0.0, 0
        self.delivered = self.retried = self.dead = 0
        self._thread = threading.Thread(target=self._work, name=f"nearline-courier {name}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def put(self, result: Result, settled: Callable[[], object] = lambda: None) -> None:
        """Queue a result in place of an older one of its list; `settled` is called when nothing is left to do for it."""
        waiting = _Waiting(result, settled, time.monotonic())
        with self._changed:
            key = result.user_id, result.surface
            # The newer has seen what the older has: that it is on its way is enough.
            before = self._waiting.pop(key, None)
            self._waiting[key] = waiting
            over = list(self._waiting.values())[: MOST // 10] if len(self._waiting) > MOST else []
            self._changed.notify_all()
        if before is not None:
            before.settled()
        if over:
            self._give_up([(one, f"more than {MOST:,} lists wait") for one in over])

    def drained(self, seconds: float) -> bool:
        """Wait until nothing waits, `seconds` at most; return whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting, seconds)

    def close(self) -> None:
        """End the thread after what is under way, and let go of the subscriber."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self._thread.join(10)
        self._subscriber.close()

    def _work(self) -> None:
        while (batch := self._take()) is not None:
            failures: list[Failure]
            try:
                failures = self._subscriber.deliver([one.result for one in batch])
            except Exception as error:
                if not isinstance(error, StoreUnavailableError):
                    logger.exception("a subscriber failed", extra={"subscriber": self.name})
                failures = [Failure(place, str(error) or type(error).__name__) for place in range(len(batch))]
            self._sort_out(batch, {failure.place: failure for failure in failures})

    def _take(self) -> list[_Waiting] | None:
        """Return what is to be delivered next, waiting for it; `None` at the end."""
        with self._changed:
            while not self._ending:
                now, first = time.monotonic(), None
                batch: list[_Waiting] = []
                for one in self._waiting.values():
                    ready = max(one.ready, self._resume)
                    if ready <= now:
                        batch.append(one)
                        if len(batch) == BATCH:
                            break
                    elif first is None or ready < first:
                        first = ready
                if batch:
                    return batch
                self._changed.wait(None if first is None else first - now)
        return None

    def _sort_out(self, batch: list[_Waiting], failures: dict[int, Failure]) -> None:
        now = time.monotonic()
        given_up: list[tuple[_Waiting, str]] = []
        fine = [one for place, one in enumerate(batch) if place not in failures]
        with self._changed:
            for place, failure in failures.items():
                one = batch[place]
                if not self._is_waiting(one):
                    continue  # a newer one has come meanwhile
                if failure.final or now - one.since >= self._budget:
                    given_up.append((one, failure.reason))
                    continue
                self.retried += 1
                one.tries += 1
                one.ready = now + _pause(one.tries)
            if fine or any(failure.final for failure in failures.values()):
                self._failures = 0
            else:
                # It is away: nothing is asked of it for a while, and what has waited as long as it may goes too.
                self._failures += 1
                self._resume = now + _pause(self._failures)
                reason, known = failures[0].reason, set(map(id, batch))
                late = [one for one in self._waiting.values() if id(one) not in known and now - one.since >= self._budget]
                given_up += [(one, reason) for one in late]
                if self._failures == 1:
                    logger.warning("a subscriber does not answer", extra={"subscriber": self.name, "error": reason})
        self.delivered += len(fine)
        self._settle(fine)
        if given_up:
            self._give_up(given_up)

    def _give_up(self, given_up: list[tuple[_Waiting, str]]) -> None:
        """Write results to the dead letters; only then they are settled."""
        now = self._clock.now()
        try:
            self._letters.write([DeadLetter(self.name, reason, now, one.result) for one, reason in given_up])
        except OSError:
            logger.exception("dead letters can't be written; they wait on")
            with self._changed:
                for one, _ in given_up:
                    one.ready = time.monotonic() + LONGEST
            return
        self.dead += len(given_up)
        self._settle([one for one, _ in given_up])

    def _settle(self, done: list[_Waiting]) -> None:
        with self._changed:
            mine = [one for one in done if self._is_waiting(one)]
            for one in mine:
                del self._waiting[one.result.user_id, one.result.surface]
            self._changed.notify_all()
        for one in mine:
            one.settled()

    def _is_waiting(self, one: _Waiting) -> bool:
        return self._waiting.get((one.result.user_id, one.result.surface)) is one


def _pause(tries: int) -> float:
    return min(LONGEST, FIRST * 2.0 ** min(tries - 1, 16)) * random.uniform(0.5, 1.5)
