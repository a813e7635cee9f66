"""Pages from wherever an engine goes on, and a store that loses rows: the rows are those of one who read the log once."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from nearline import App
from nearline.app.settings import load_settings
from nearline.app.tenant import Tenant
from nearline.schema.errors import StoreUnavailableError
from nearline.schema.event import ERASE, Record
from nearline.schema.ids import visitor_key
from nearline.stores.log import Log, Page, pages_of
from nearline.stores.user_rows import RowsLostError, UserRow, UserRows
from nearline.stream.partitions import PartitionsFolder

N = 600


class Rows:
    """Rows in a dict, which may be lost."""

    def __init__(self) -> None:
        self.kept: dict[int, UserRow] = {}
        self.progress: dict[int, int] = {}
        self.seen: dict[int, int] = {}

    def read(self, visitors: Sequence[int], partitions: Sequence[int] = ()) -> tuple[list[UserRow], list[int]]:
        self.seen |= {number: self.progress.get(number, 0) for number in partitions}
        return [self.kept.get(v, UserRow(v)) for v in visitors], [self.progress.get(n, 0) for n in partitions]

    def write(self, rows: Sequence[UserRow], progress: Mapping[int, int]) -> None:
        if any(self.progress.get(number, 0) < self.seen.get(number, 0) for number in progress):
            raise RowsLostError
        self.kept |= {row.visitor: row for row in rows}
        self.seen |= progress
        assert all(end >= self.progress.get(number, 0) for number, end in progress.items()), "progress went back"
        self.progress |= progress


class Kept:
    """A log of one partition that is read alone."""

    partitions = 1

    def __init__(self, records: list[Record]) -> None:
        self.records = records

    def partition(self, number: int) -> Kept:
        return self

    def read(self, topic: str, start: int, limit: int) -> tuple[int, list[Record]]:
        return start, self.records[start : start + limit]

    def offset_at(self, topic: str, ms: int) -> int:
        return 0


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Tenant:
    folder: Path = tmp_path_factory.mktemp("partitions")
    settings = load_settings(None, {"NEARLINE_STORAGE_PATH": str(folder)})
    return Tenant(App(name="partitions", events=["view", "click", "purchase"]), settings)


def events(tenant: Tenant) -> list[Record]:
    rng, now = random.Random(3), tenant.clock.now() - N * 1000
    out: list[Record] = []
    for place in range(N):
        if out and rng.random() < 0.1:
            out.append(rng.choice(out))  # a second time
            continue
        user, at = f"u{rng.randrange(20)}", now + place * 1000
        if rng.random() < 0.05:
            out.append(Record("", ERASE, user, "", at, at))
            continue
        out.append(Record(f"e{place}", rng.choice(["view", "click", "purchase"]), user, f"i{rng.randrange(30)}", at, at))
    return out


def pages(records: list[Record], begin: int, end: int) -> Page:
    (page,) = pages_of("user_events", 0, range(begin, end), records[begin:end])
    return page


def folded(tenant: Tenant, records: list[Record], rows: Rows) -> PartitionsFolder:
    return PartitionsFolder(tenant, cast(Log, Kept(records)), cast(UserRows, rows))


@pytest.mark.parametrize("seed", range(4))
def test_pages_may_come_from_anywhere(tenant: Tenant, seed: int) -> None:
    records, rng = events(tenant), random.Random(seed)
    once, rows = Rows(), Rows()
    folder = folded(tenant, records, once)
    folder.begin(0)
    assert folder.fold(pages(records, 0, N))
    assert folder.settle()
    assert folder.dropped > 20

    folder, at = folded(tenant, records, rows), rng.randrange(50)
    while at < N:
        end = min(N, at + rng.randrange(1, 60))
        middle = rng.randrange(at, end)
        folder.follow([pages(records, *part) for part in ((at, middle), (middle, end)) if part[0] < part[1]])
        at = end
        if rng.random() < 0.2:  # killed: another goes on from an older checkpoint
            folder, at = folded(tenant, records, rows), rng.randrange(at)
        elif rng.random() < 0.1 and at < N:  # the store comes back without anything
            rows.kept, rows.progress = {}, {}
    assert rows.progress == {0: N}
    visitors = [visitor_key(f"u{number}", "") for number in range(20)]
    assert rows.read(visitors)[0] == once.read(visitors)[0]
    assert np.all([row.hot for row in rows.read(visitors)[0]])


class Troubled(Rows):
    """Rows of a store that takes its time, does not answer now and then, and loses everything twice."""

    def __init__(self) -> None:
        super().__init__()
        self.rng, self.losses = random.Random(5), 2

    def read(self, visitors: Sequence[int], partitions: Sequence[int] = ()) -> tuple[list[UserRow], list[int]]:
        self._trouble()
        return super().read(visitors, partitions)

    def write(self, rows: Sequence[UserRow], progress: Mapping[int, int]) -> None:
        self._trouble()
        super().write(rows, progress)
        if self.losses and len(self.kept) > 15 and self.rng.random() < 0.3:
            self.kept, self.progress, self.losses = {}, {}, self.losses - 1

    def _trouble(self) -> None:
        time.sleep(self.rng.random() / 1000)
        if self.rng.random() < 0.1:
            raise StoreUnavailableError("away")


def test_a_store_in_trouble_has_all_rows_in_the_end(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nearline.stream.write_behind.PAUSE", 0.001)
    records, once, rows, stored = events(tenant), Rows(), Troubled(), list[int]()
    folder = folded(tenant, records, once)
    folder.begin(0)
    assert folder.fold(pages(records, 0, N))
    assert folder.settle()
    assert folder.done == {0: N}

    folder = PartitionsFolder(tenant, cast(Log, Kept(records)), cast(UserRows, rows), took=lambda n, seconds: stored.append(n))
    at, begun = folder.begin(0), 1
    while at < N or not folder.settle():
        if 0 not in folder.done or not folder.fold(pages(records, at, at := min(N, at + 25))):
            at, begun = folder.begin(0), begun + 1
    assert begun == 3
    assert (folder.done, rows.progress) == ({0: N}, {0: N})
    assert len(stored) >= N // 25
    visitors = [visitor_key(f"u{number}", "") for number in range(20)]
    assert Rows.read(rows, visitors)[0] == once.read(visitors)[0]


class Held(Rows):
    """Rows of a store that answers once it may."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def write(self, rows: Sequence[UserRow], progress: Mapping[int, int]) -> None:
        assert self.gate.wait(60)
        super().write(rows, progress)


def test_what_is_not_stored_is_not_done(tenant: Tenant) -> None:
    records, rows = events(tenant), Held()
    folder = folded(tenant, records, rows)
    folder.begin(0)
    assert folder.fold(pages(records, 0, 100))
    assert folder.done == {0: 0}
    rows.gate.set()
    assert folder.settle()
    assert folder.done == rows.progress == {0: 100}


def test_pages_have_no_gaps() -> None:
    records: list[Any] = list("abcde")
    found: list[Any] = pages_of("user_events", 1, [4, 5, 8, 9, 12], records)
    assert [(page.first, *page.records) for page in found] == [(4, "a", "b"), (8, "c", "d"), (12, "e")]
    assert pages_of("user_events", 1, [], []) == []
