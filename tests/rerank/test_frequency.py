"""Frequency: what was shown and not touched makes room, messages don't repeat, and both survive a restart but no erasure."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from nearline.app.definition import App
from nearline.app.sections import Budget, RuleSettings, Settings, Storage
from nearline.app.tenant import Tenant
from nearline.embedded.engine import Engine
from nearline.schema.clock import DAY, HOUR, MINUTE, VirtualClock
from nearline.schema.event import Record
from nearline.schema.ids import key
from nearline.schema.item import Item
from nearline.schema.query import Query
from nearline.serving.metrics import Metrics
from nearline.stores.shown import ShownItems

NOW = 1_700_000_000_000
RULES = RuleSettings(exploration=0.0, diversity=0.0, per_category=0, categories=0, frequency_cap=3, resend_days=10)


class House:
    """An engine in virtual time, with thirty items of which the first ones are the most popular."""

    def __init__(self, folder: Path, clock: VirtualClock) -> None:
        budget = Budget(20_000, 20_000, 20_000, 20_000, 20_000)
        tenant = Tenant(App(events=["view", "click"]), Settings(storage=Storage(path=str(folder)), budget=budget, rules=RULES))
        tenant.__dict__["clock"] = clock
        self.clock, self.engine = clock, Engine(tenant, Metrics())

    async def open(self, n: int = 0) -> House:
        await self.engine.open()
        if n:
            await self.engine.put_items([Item(f"i{k}") for k in range(n)])
            await self.click("crowd", *(f"i{k}" for k in range(n) for _ in range(n - k)))
        return self

    async def click(self, user: str, *items: str) -> None:
        now = self.clock.now()
        await self.engine.add_events([Record("", "click", user, item, now, now) for item in items])

    async def list(self, user: str = "u", size: int = 5, surface: str = "homepage") -> list[str]:
        """Ask, and wait until what was shown is written."""
        query = Query(key(user), self.clock.now(), user_id=user, page_size=size, surface=surface)
        served = await self.engine.recommend(query)
        assert served.missing == ()
        end = self.engine.world.showings.offset
        for _ in range(500):
            if self.engine.world.showings.offset > end:
                break
            await asyncio.sleep(0.01)
        assert self.engine.world.showings.offset > end
        return [item.item_id for item in served.items]


def test_what_is_shown_often_and_not_touched_makes_room_for_a_day(tmp_path: Path) -> None:
    async def story() -> None:
        clock = VirtualClock(NOW)
        house = await House(tmp_path, clock).open(30)
        first = ["i0", "i1", "i2", "i3", "i4"]
        for _ in range(3):
            clock.advance(MINUTE)
            assert await house.list() == first
        clock.advance(MINUTE)
        # Another page, for this visitor alone; what he touches stays.
        await house.click("u", "i1")
        then = await house.list()
        assert set(then) & set(first) <= {"i1"}
        wide = Query(key("u"), clock.now(), user_id="u", page_size=15, debug=True)
        assert {item.item_id for item in (await house.engine.recommend(wide)).items} & set(first) == {"i1"}
        assert await house.list("other") == first
        # A killed server's log has it all.
        await house.engine.close()
        for folder in (tmp_path / "default" / "snapshots").iterdir():
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
        house = await House(tmp_path, clock).open()
        assert await house.list() == then
        # And so has a snapshot, with what came after it.
        house.engine.stream.save()
        assert await house.list() == then
        await house.engine.close()
        house = await House(tmp_path, clock).open()
        assert set(await house.list()) & {*first, *then} <= {"i1"}
        # A day later they are back.
        clock.advance(DAY + HOUR)
        assert set(await house.list()) & set(first)
        # Where hardly anything else is left, the list comes first.
        for _ in range(4):
            clock.advance(MINUTE)
            assert len(await house.list("greedy", size=30)) == 30
        await house.engine.close()

    asyncio.run(story())


def test_no_message_repeats_what_one_sent_of_late(tmp_path: Path) -> None:
    async def story() -> None:
        clock = VirtualClock(NOW)
        house = await House(tmp_path, clock).open(30)
        assert await house.list(surface="email") == ["i0", "i1", "i2", "i3", "i4"]
        clock.advance(DAY)
        assert await house.list(surface="push", size=2) == ["i5", "i6"]
        assert await house.list() == ["i0", "i1", "i2", "i3", "i4"], "on a page they may be"
        clock.advance(9 * DAY)
        assert await house.list(surface="email", size=7) == ["i0", "i1", "i2", "i3", "i4", "i7", "i8"]
        # Rather a short message than the same again.
        assert len(await house.list(surface="email", size=30)) == 21
        await house.engine.close()

    asyncio.run(story())


def test_who_is_erased_was_shown_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        clock = VirtualClock(NOW)
        house = await House(tmp_path, clock).open(30)
        for _ in range(4):
            clock.advance(MINUTE)
            shown = await house.list()
        assert shown[0] != "i0"
        clock.advance(MINUTE)
        await house.engine.erase_user("u")
        assert house.engine.world.showings.of(key("u")) is None
        clock.advance(MINUTE)
        assert (await house.list())[0] == "i0"
        # The log still has those lists; a start that reads it must not bring them back.
        await house.engine.close()
        for folder in (tmp_path / "default" / "snapshots").iterdir():
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
        house = await House(tmp_path, clock).open()
        found = house.engine.world.showings.of(key("u"))
        assert found is not None
        assert found.times.max() == 1
        await house.engine.close()

    asyncio.run(story())


def test_the_table_counts_as_a_dictionary_does_and_stays_within_its_bounds() -> None:
    random = np.random.default_rng(3)
    window, visitors = 3600, random.integers(1, 1 << 62, 60).astype(np.uint64)
    table = ShownItems(window, places=40)
    told: dict[int, dict[int, list[int]]] = defaultdict(dict)
    now = NOW // 1000
    for _ in range(600):
        now += int(random.integers(0, 60))
        who = random.choice(visitors, 3)
        lists = [random.choice(np.arange(1, 31), int(random.integers(0, 8)), replace=False) for _ in who]
        for visitor, items in zip(who.tolist(), lists, strict=True):
            for item in items.tolist():
                first, _, count = told[visitor].get(item, [now, now, 0])
                if now - first >= window:
                    first, count = now, 0
                told[visitor][item] = [first, now, count + 1]
        table.note(
            who,
            np.full(3, now, np.uint32),
            np.array([len(items) for items in lists], np.int32),
            np.concatenate(lists).astype(np.uint64),
        )
    again = ShownItems(window, places=40)
    again.load(table.dump())
    for held in (table, again):
        for visitor, own in told.items():
            found = held.of(visitor)
            if found is None:
                assert not own
                continue
            rows = zip(*(column.tolist() for column in found), strict=True)
            assert {row[0]: [*row[1:]] for row in rows if row[0]} == own
    # Many more visitors and items than there is room for: bounded, and the newest stay.
    small = ShownItems(window, places=8, most=1024)
    for turn in range(200):
        who = np.arange(turn * 100 + 1, turn * 100 + 101).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        many = np.tile(np.arange(1, 13), 100).astype(np.uint64)
        small.note(who, np.full(100, 1000 + turn, np.uint32), np.full(100, 12, np.int32), many)
    assert small.nbytes() == 1024 * (8 + 4 + 8 * (8 + 3 * 4))
    assert sum(small.of(int(visitor)) is not None for visitor in who) > 95
    small.forget(int(who[0]))
    assert small.of(int(who[0])) is None
    assert pytest.approx(1024, rel=0.1) == len(small.dump()["visitors"])
