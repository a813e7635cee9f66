"""The publisher: who did something meaningful gets new lists, and subscribers get those."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from nearline.app.tenant import Tenant
from nearline.embedded.publishing.active import meaningful
from nearline.embedded.publishing.alone import GroupOfOne
from nearline.embedded.publishing.courier import Courier
from nearline.embedded.publishing.dead import DeadLetters
from nearline.embedded.publishing.ledger import Due, Ledger
from nearline.embedded.publishing.lists import Lists
from nearline.embedded.publishing.reader import PAUSE, WorldReader
from nearline.schema.clock import WallClock
from nearline.schema.errors import StoreUnavailableError
from nearline.schema.event import ERASE, Record
from nearline.schema.result import Result
from nearline.stores.log import Group, Grouped, Log
from nearline.stores.subscriber import Subscriber
from nearline.stream.local import LocalStream

logger = logging.getLogger("nearline.publish")
GROUP = "publish"
LOOK = 0.05
"""Seconds that the log is waited for at a time."""
OWN = 0.005
"""Seconds that the group is waited for, beside."""
TURN = 50
"""Visitors whose lists are made before the log is looked at again."""
COMMIT = 1.0
"""Seconds between two commits of offsets; after a crash so much is made again."""
BEHIND = 0.05
"""Seconds after which a visitor is looked at again whose rows have not seen the event yet."""
MANY = 2_000
"""Lists that may wait for one subscriber before more are made at once."""
LEAVING = 5.0
"""Seconds that what waits gets at the end; what is not delivered then is made again at the next start."""


class Publisher:
    """Follows a log, makes lists, and has them delivered.

    Args:
        tenant: whose.
        log: open to read.
        subscribers: by name.
        ending: when set, `run` and `publish` return.
    """

    def __init__(self, tenant: Tenant, log: Log, subscribers: Mapping[str, Subscriber], ending: threading.Event) -> None:
        publish = tenant.settings.publish
        self._tenant, self._log, self._ending = tenant, log, ending
        self.dead = DeadLetters(tenant.folder)
        self.couriers = [
            Courier(name, subscriber, self.dead, WallClock(), publish.budget_seconds)
            for name, subscriber in subscribers.items()
        ]
        self._stream = LocalStream(tenant)
        self._stream.restore(log)
        self._lists = Lists(tenant, self._stream.world)
        self.ledger = Ledger(meaningful(tenant), publish.wait_ms / 1e3)
        self._committed: dict[int, int] = {}
        self.made = self.failed = self.lag = 0
        self.oldest = 0.0

    def run(self) -> None:
        """Work until stopped, whatever log and subscribers do."""
        while not self._ending.is_set():
            try:
                self._work()
            except StoreUnavailableError as error:
                # What was read and not done is read again, from where it was committed.
                self.ledger.taken(self.ledger.partitions)
                logger.warning("the log can't be read; joining the group again", extra={"error": str(error)})
                self._ending.wait(PAUSE)

    def _work(self) -> None:
        reader, group, at = WorldReader(self._log, self._stream), self._group(), time.monotonic()
        try:
            while not self._ending.is_set():
                busy = bool(self.ledger.ready(1))
                reader.follow(0.0 if busy else LOOK)
                for page in group.next(0.0 if busy else OWN):
                    self._forget(page.records)
                    self.ledger.note(page)
                for due in self.ledger.ready(TURN):
                    self._publish(due)
                if time.monotonic() - at > COMMIT:
                    self._commit(group)
                    at = time.monotonic()
            until = time.monotonic() + LEAVING
            for courier in self.couriers:
                courier.drained(max(0.0, until - time.monotonic()))
            self._commit(group)
        finally:
            group.close()
            reader.close()

    def _group(self) -> Group:
        if isinstance(self._log, Grouped):
            return self._log.group(GROUP, self.ledger.given, self.ledger.taken)
        return GroupOfOne(self._log, self._tenant.folder / "published.json", self.ledger.given)

    def _publish(self, due: Due) -> None:
        user = self._stream.world.hydrate(due.visitor, self._tenant.clock.now())
        if user.seen <= due.last:
            self.ledger.later(due, BEHIND)
            return
        try:
            results = self._lists.none(due.user_id, user.seen) if due.erased else self._lists.of(due.user_id, due.visitor)
        except Exception:
            # Made again it would end the same way, and nobody else would get a list.
            logger.exception("a list can't be made; its user has none until he does something again")
            self.ledger.begun(due, user.seen, 0)
            self.failed += 1
            return
        ticket = self.ledger.begun(due, min(result.offset for result in results), len(results) * len(self.couriers))
        self._deliver(results, partial(self.ledger.settled.append, ticket))

    def _deliver(self, results: Sequence[Result], settled: Callable[[], object]) -> None:
        self.made += len(results)
        for result in results:
            for courier in self.couriers:
                courier.put(result, settled)

    def _forget(self, records: Sequence[Record]) -> None:
        for user_id in {record.user_id for record in records if record.event_type == ERASE}:
            self.dead.forget(user_id)

    def _commit(self, group: Group) -> None:
        done = self.ledger.done()
        if done != self._committed:
            group.commit(done)
            self._committed = done
        self.oldest = self.ledger.oldest
        with contextlib.suppress(StoreUnavailableError):
            self.lag = sum(max(0, self._log.partition(number).end("user_events") - end) for number, end in done.items())

    def publish(self, users: Sequence[tuple[str, int]]) -> None:
        """Make lists of users, by id and key, once, and return when each is delivered or a dead letter."""
        for user_id, visitor in users:
            while any(courier.waiting > MANY for courier in self.couriers) and not self._ending.wait(0.01):
                pass
            if self._ending.is_set():
                return
            self._deliver(self._lists.of(user_id, visitor), int)
        for courier in self.couriers:
            while not (courier.drained(0.2) or self._ending.is_set()):
                pass

    def close(self) -> None:
        """End the threads, and let go of subscribers."""
        for courier in self.couriers:
            courier.close()
        self._lists.close()
        self._stream.world.release()
