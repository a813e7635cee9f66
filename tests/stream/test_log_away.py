"""A log that fails now and then: nothing that was taken in is missed, and whoever writes hears soon that it is away."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from nearline.app.definition import App
from nearline.app.sections import Settings, Storage
from nearline.app.tenant import Tenant
from nearline.schema.errors import StoreUnavailableError
from nearline.schema.event import Record, Topic
from nearline.stores.log import Log, Page, Position
from nearline.stream.follower import Follower
from nearline.stream.local import LocalStream
from nearline.stream.writer import Writer

NOW = 1_790_000_000_000


@pytest.fixture
def tenant(tmp_path: Path) -> Tenant:
    return Tenant(App(events=["click"]), Settings(storage=Storage(path=str(tmp_path))))


def events(n: int) -> list[Record]:
    return [Record(f"e{k}", "click", f"u{k % 7}", f"i{k % 5}", NOW + k, NOW + k) for k in range(n)]


class FailingLog:
    """A shared log of one partition that is asked in vain every second time, and whose tails fail behind what they took in."""

    shared, partitions = True, 1

    def __init__(self, records: Sequence[Record]) -> None:
        self.records, self.asked, self.tails = records, 0, 0

    def partition(self, number: int) -> FailingLog:
        return self

    def end(self, topic: Topic) -> int:
        self.asked += 1
        if self.asked % 2:
            raise StoreUnavailableError("no answer")
        return len(self.records)

    def tail(self, at: Mapping[Position, int]) -> FailingTail:
        self.tails += 1
        return FailingTail(self.records, at["user_events", 0])


class FailingTail:
    """Hands over ten records, takes ten more in, and fails."""

    def __init__(self, records: Sequence[Record], at: int) -> None:
        self._records, self._at, self._begun = records, at, False

    def next(self, seconds: float) -> list[Page]:
        first, self._at = self._at, self._at + 10
        if self._begun:
            raise StoreUnavailableError("the rest can't be read")
        self._begun = True
        some = self._records[first : first + 10]
        return [Page("user_events", 0, first, some)] if some else []

    def close(self) -> None:
        pass


def test_a_follower_misses_nothing_that_a_failing_tail_took_in(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PAUSE", "MEASURE"):
        monkeypatch.setattr(f"nearline.stream.follower.{name}", 0.0)
    records, log, stream = events(95), FailingLog(events(95)), LocalStream(tenant)
    alone = LocalStream(tenant)
    alone.take(Page("user_events", 0, 0, records))

    async def follow() -> list[Exception]:
        broken: list[Exception] = []
        follower = Follower(cast(Log, log), stream, asyncio.get_running_loop(), broken=broken.append)
        until = time.monotonic() + 30
        while stream.world.state.offset < 95 and time.monotonic() < until and not broken:
            await asyncio.sleep(0.01)
        follower.close()
        return broken

    assert asyncio.run(follow()) == []
    assert log.tails >= 10
    one, other = stream.world.state.dump(), alone.world.state.dump()
    assert {name for name in one if one[name].tobytes() != other[name].tobytes()} == set()


class AwayLog:
    """A shared log that says after a while that it takes nothing, until it is let."""

    shared, partitions = True, 1

    def __init__(self) -> None:
        self.answer, self.back, self.tried = threading.Event(), False, 0

    def append(self, batches: Mapping[Topic, Sequence[Record]]) -> dict[Topic, dict[int, int]]:
        self.tried += 1
        if self.back:
            return {topic: {0: len(records)} for topic, records in batches.items()}
        assert self.answer.wait(20)
        raise StoreUnavailableError("nobody acknowledged")


def test_while_the_log_is_away_one_at_a_time_asks_it_and_others_hear_at_once(tenant: Tenant) -> None:
    log = AwayLog()

    async def write() -> None:
        loop = asyncio.get_running_loop()
        writer = Writer(cast(Log, log), LocalStream(tenant), tenant.clock, loop)

        def submit() -> asyncio.Future[Any]:
            return writer.submit("user_events", events(3))

        first = submit()
        while not log.tried:
            await asyncio.sleep(0.01)
        behind = [submit() for _ in range(5)]
        await asyncio.sleep(0.05)
        log.answer.set()
        # Those behind the one that failed are told with it: the log is not asked once for each.
        assert [type(e) for e in await asyncio.gather(first, *behind, return_exceptions=True)] == [StoreUnavailableError] * 6
        assert (log.tried, writer.pending) == (1, 0)
        log.answer.clear()
        probe = submit()
        await asyncio.sleep(0.05)
        with pytest.raises(StoreUnavailableError):
            await asyncio.wait_for(submit(), 5)  # at once, though the probe is under way
        assert not probe.done()
        log.answer.set()
        with pytest.raises(StoreUnavailableError):
            await probe
        log.back = True
        assert await submit() == {0: 3}
        assert await submit() == {0: 3}
        assert (writer.away, writer.pending, log.tried) == (None, 0, 4)
        await loop.run_in_executor(None, writer.close)

    asyncio.run(write())
