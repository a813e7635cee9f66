"""The one writer of a process: group commit, then fold, then answer. A 202 means durable and already in the next list.

What goes to a shared log is folded by the follower, who reads it in the log's order among what others wrote.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from nearline.schema.clock import Clock
from nearline.schema.errors import StoreUnavailableError
from nearline.schema.event import TOPICS, Record, Topic
from nearline.schema.ids import keys, partition_of, visitor_key
from nearline.stores.key_index import Keys
from nearline.stores.log import Ends, Log
from nearline.stream.local import LocalStream

logger = logging.getLogger("nearline.writer")
LINGER = 0.05
"""Seconds that records nobody waits for may wait for company."""
GROUP = 5_000
"""Records in one commit at most."""
AGAIN = 1.0
"""Seconds between two tries of records that nobody waits for."""
MOST_KEPT = 10_000
"""Records that nobody waits for and that are kept while the log takes nothing; the oldest beyond them are lost."""
BROKEN = "the state could not follow the log; the server must start again"


@dataclass(slots=True)
class Submission:
    """Records on their way into one topic; the future gets the offset after the last of them, by partition."""

    topic: Topic
    records: Sequence[Record]
    future: asyncio.Future[Ends] | None = None
    submitted: float = field(default_factory=time.monotonic)


class Writer:
    """A thread that appends what comes in groups, folds it, and resolves futures on the loop.

    Args:
        log: where records become durable.
        stream: what is folded.
        clock: gives the time that duplicates are counted by.
        loop: where futures live.
        broken: called on the loop when the state could not follow what is in the log; nothing is written after that.
        settle: of a shared log: called on the loop with what is durable and its future, which it resolves.
        folded: called on the loop after each commit with (number of events, seconds since the oldest was submitted).
    """

    def __init__(
        self,
        log: Log,
        stream: LocalStream,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        folded: Callable[[int, float], None] = lambda n, seconds: None,
        broken: Callable[[Exception], None] = lambda error: None,
        settle: Callable[[Topic, Ends, asyncio.Future[Ends]], None] | None = None,
    ) -> None:
        self._settle = settle or (lambda topic, ends, future: future.set_result(ends))
        self._log, self._stream, self._clock, self._loop, self._folded = log, stream, clock, loop, folded
        self._queue: SimpleQueue[list[Submission] | Callable[[], None] | None] = SimpleQueue()
        self._broken, self.broken = broken, False
        self.away: StoreUnavailableError | None = None
        """What the log said when it last took nothing; `None` while it takes what comes."""
        self.pending = 0
        """Records that are not written yet."""
        self._asking = 0
        """Records whose commit is under way or due at once."""
        self._arrived: list[Submission] = []
        self._left: list[tuple[Topic, Record]] = []
        self._kept: list[tuple[Topic, Record]] = []
        self.duplicates = 0
        self.lost = 0
        """Records that nobody waited for and that were given up."""
        self._thread = threading.Thread(target=self._work, name="nearline-writer", daemon=True)
        self._thread.start()

    def submit(self, topic: Topic, records: Sequence[Record]) -> asyncio.Future[Ends]:
        """Queue records; the future fails with StoreUnavailableError where nothing could be written.

        A log that takes nothing may take seconds to say so: one at a time asks it, the others hear at once what it said last.
        """
        future: asyncio.Future[Ends] = self._loop.create_future()
        if self.away is not None and self._asking:
            future.set_exception(StoreUnavailableError(str(self.away)))
            return future
        self.pending += len(records)
        self._arrive(Submission(topic, records, future))
        return future

    def _arrive(self, submission: Submission) -> None:
        """Hand over together what arrives in one turn of the loop: larger commits, and the thread wakes once."""
        self._asking += len(submission.records)
        self._arrived.append(submission)
        if len(self._arrived) == 1:
            self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        if self._arrived:
            arrived, self._arrived = self._arrived, []
            self._queue.put(arrived)

    def leave(self, topic: Topic, record: Record) -> None:
        """Keep a record that nobody waits for (an impression) and queue it with others within `LINGER`.

        A commit for each would cost as much as its list; a crash may lose those of the last `LINGER` seconds, and those that
        a log which takes nothing has not taken yet.
        """
        self.pending += 1
        self._left.append((topic, record))
        if len(self._left) == 1:
            self._loop.call_later(LINGER, self._flush)

    def _keep(self, refused: list[tuple[Topic, Record]]) -> None:
        """Keep what nobody waits for and the log did not take, as much as there is room for, and try again later."""
        if refused and not self._kept:
            self._loop.call_later(AGAIN, self._retry)
        kept = self._kept + refused
        self._kept = kept[-MOST_KEPT:]
        self.lost += len(kept) - len(self._kept)

    def _retry(self) -> None:
        kept, self._kept = self._kept, []
        self.pending += len(kept)
        self._left = kept + self._left
        self._flush()

    def _flush(self) -> None:
        left, self._left = self._left, []
        for topic in TOPICS:
            records = [record for at, record in left if at == topic]
            if records:
                self._asking += len(records)
                self._arrived.append(Submission(topic, records))
        self._hand_over()

    def between(self, action: Callable[[], None]) -> None:
        """Run an action on the writer's thread, between commits."""
        self._queue.put(action)

    def close(self) -> None:
        """Write what is queued and end the thread."""
        self._retry()
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        ending = False
        while not ending:
            group: list[Submission] = []
            actions: list[Callable[[], None]] = []
            size = 0
            item = self._queue.get()
            while True:
                if item is None:
                    ending = True
                    break
                if isinstance(item, list):
                    group += item
                    size += sum(len(submission.records) for submission in item)
                else:
                    actions.append(item)
                if size >= GROUP:
                    break
                try:
                    item = self._queue.get_nowait()
                except Empty:
                    break
            if group:
                self._commit(group, size)
            for action in actions:
                try:
                    action()
                except Exception:
                    logger.exception("action between commits failed")

    def _behind(self) -> list[Submission]:
        """Take what came to wait meanwhile out of the queue; actions stay."""
        waiting: list[Submission] = []
        kept: list[Callable[[], None] | None] = []
        while True:
            try:
                item = self._queue.get_nowait()
            except Empty:
                break
            if isinstance(item, list):
                waiting += item
            else:
                kept.append(item)
        for action in kept:
            self._queue.put(action)
        return waiting

    def _commit(self, group: list[Submission], size: int) -> None:
        error: Exception | None = None
        ends: dict[Topic, Ends] = {}
        events = 0
        try:
            if self.broken:
                raise StoreUnavailableError(BROKEN)
            batches = {topic: [r for s in group if s.topic == topic for r in s.records] for topic in TOPICS}
            if not self._log.shared:
                batches["user_events"], ids = self._fresh(batches["user_events"])
            batches = {topic: records for topic, records in batches.items() if records}
            ends = self._log.append(batches) if batches else {}
            events = len(batches.get("user_events", ()))
            if not self._log.shared:
                self._follow(batches, {topic: ends[topic][0] - len(records) for topic, records in batches.items()}, ids)
        except Exception as failure:
            if not isinstance(failure, StoreUnavailableError):
                logger.exception("commit failed")
            error = failure
        self.away = error if isinstance(error, StoreUnavailableError) and not self.broken else None
        if self.away is not None:
            # What came to wait behind it is refused with it, so that nobody waits for more than one try.
            group += (behind := self._behind())
            size += sum(len(submission.records) for submission in behind)
        ends.setdefault("user_events", {0: self._stream.world.state.offset})
        self._loop.call_soon_threadsafe(self._resolve, group, ends, size, events, error)

    def _follow(self, batches: Mapping[Topic, Sequence[Record]], firsts: Mapping[Topic, int], ids: Keys) -> None:
        """Fold what is durable now. A failure leaves a state that is not the log's: only a restart mends it."""
        try:
            if events := batches.get("user_events"):
                self._stream.duplicates.add(ids, self._clock.now())
                self._stream.apply(firsts["user_events"], events)
            if items := batches.get("item_events"):
                self._stream.apply_items(firsts["item_events"], items)
            if shown := batches.get("feedback"):
                self._stream.apply_feedback(firsts["feedback"], shown)
        except Exception as failure:
            logger.critical("the state could not follow the log", exc_info=failure)
            self.broken = True
            self._loop.call_soon_threadsafe(self._broken, failure)
            raise StoreUnavailableError(BROKEN) from failure

    def _fresh(self, records: list[Record]) -> tuple[list[Record], Keys]:
        """Return the records that are new, and the keys of their ids."""
        ids = keys(r.event_id for r in records)
        if not records:
            return records, ids
        new = self._stream.duplicates.fresh(ids, self._clock.now())
        if new.all():
            return records, ids
        new |= ids == 0
        self.duplicates += len(new) - int(new.sum())
        return [record for record, fine in zip(records, new.tolist(), strict=True) if fine], ids[new]

    def _resolve(
        self, group: list[Submission], ends: dict[Topic, Ends], size: int, events: int, error: Exception | None
    ) -> None:
        self.pending -= size
        self._asking -= size
        refused: list[tuple[Topic, Record]] = []
        for submission in group:
            future = submission.future
            if future is None:
                if error is not None:
                    refused += ((submission.topic, record) for record in submission.records)
                continue
            if future.done():
                continue
            if error is not None:
                future.set_exception(error)
            else:
                self._settle(submission.topic, self._own(submission, ends.get(submission.topic, {0: 0})), future)
        if self.away is not None and self._thread.is_alive():
            self._keep(refused)
        else:
            self.lost += len(refused)
        if events and error is None:
            self._folded(events, time.monotonic() - group[0].submitted)

    def _own(self, submission: Submission, ends: Ends) -> Ends:
        """Return the ends of the partitions that a submission's records went to."""
        if self._log.partitions == 1 or submission.topic == "item_events":
            return ends
        visitors = {visitor_key(record.user_id, record.session_id) for record in submission.records}
        own = {partition_of(visitor, self._log.partitions) for visitor in visitors}
        return {number: end for number, end in ends.items() if number in own}
