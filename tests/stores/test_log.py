"""The contract of a log, and what the SQLite one promises when things go wrong."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engines.kafka import Kafka
from engines.postgresql import Postgresql
from nearline.schema.clock import DAY, WallClock
from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.schema.event import Record
from nearline.stores.log import Log, Movable, Page
from nearline.stores.logs.sqlite import SqliteLog
from nearline.stores.open_log import LogPlace, open_log


def records(first: int, n: int) -> list[Record]:
    return [Record(f"e{i}", "click", "u", "i", i, i, context='{"a": 1}') for i in range(first, first + n)]


def names(found: list[Record]) -> list[str]:
    return [r.event_id for r in found]


def kafka(request: pytest.FixtureRequest, folder: Path) -> Log:
    broker: Kafka = request.getfixturevalue("broker")
    return open_log(LogPlace(broker.url, folder, f"t{uuid.uuid4().hex[:8]}"))


def postgresql(request: pytest.FixtureRequest, folder: Path) -> Log:
    server: Postgresql = request.getfixturevalue("postgresql_server")
    return open_log(LogPlace(server.url, folder, f"t{uuid.uuid4().hex[:8]}"))


ADAPTERS: dict[str, Callable[[pytest.FixtureRequest, Path], Log]] = {
    "sqlite-fsync": lambda request, folder: SqliteLog(folder / "log.db"),
    "sqlite-relaxed": lambda request, folder: SqliteLog(folder / "log.db", "relaxed"),
    "kafka": kafka,
    "postgresql": postgresql,
}


@pytest.fixture(params=ADAPTERS)
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Log]:
    made = ADAPTERS[request.param](request, tmp_path)
    yield made
    made.close()


def test_records_come_back_in_order_by_offset(log: Log) -> None:
    assert log.read("user_events", 0, 10) == (0, [])
    model: list[Record] = []
    rng = random.Random(3)
    for _ in range(60):
        batch = records(len(model), rng.choice([1, 2, 7, 40]))
        both = log.append({"user_events": batch, "feedback": batch[:1], "item_events": []})
        model += batch
        assert both == {"user_events": {0: len(model)}, "feedback": {0: log.end("feedback")}}
    assert (log.start("user_events"), log.end("user_events"), log.end("feedback")) == (0, len(model), 60)
    for _ in range(20 if log.shared else 200):
        start, limit = rng.randrange(len(model) + 5), rng.randrange(0, 700)
        assert log.read("user_events", start, limit) == (start, model[start : start + limit])


def test_trim_drops_whole_batches_and_reading_skips_to_the_start(log: Log) -> None:
    for i in range(1200):
        log.append({"user_events": records(3 * i, 3)})
    assert log.read("user_events", 3599, 4) == (3599, records(3599, 1))
    assert log.trim("user_events", 3001) == log.start("user_events") in (3000, 3001)  # by batches, or by records
    kept = log.start("user_events")
    first, found = log.read("user_events", 5, 4)
    assert (first, names(found)) == (kept, [f"e{kept + i}" for i in range(4)])
    assert log.trim("user_events", 10**9) == 3600 - kept
    assert log.start("user_events") == log.end("user_events") == 3600
    assert log.read("user_events", 0, 4) == (3600, [])
    assert log.append({"user_events": records(3600, 1)}) == {"user_events": {0: 3601}}


def test_offsets_are_found_by_time(log: Log) -> None:
    log.append({"user_events": records(1, 3)})
    time.sleep(0.02)
    later = log.end("user_events")
    now = 4 if not log.shared else WallClock().now()
    time.sleep(0.02)
    log.append({"user_events": records(4, 3)})
    assert log.offset_at("user_events", now) == later
    assert log.offset_at("user_events", 0) == 0
    assert log.offset_at("user_events", WallClock().now() + DAY) == 6


def test_the_end_moves_forward_only_and_readers_meet_the_hole(log: Log) -> None:
    if not isinstance(log, Movable):
        pytest.skip("the end of this log can't be moved")
    log.append({"user_events": records(0, 10)})
    log.set_end("user_events", 100)
    assert log.append({"user_events": records(100, 5)}) == {"user_events": {0: 105}}
    assert log.read("user_events", 8, 50) == (8, records(8, 2))
    assert log.read("user_events", 10, 50) == (100, records(100, 5))
    with pytest.raises(NearlineError, match="only moves forward"):
        log.set_end("user_events", 50)
    assert log.end("user_events") == 105


def test_a_tail_brings_what_comes_and_waits_no_longer_than_it_is_told(log: Log) -> None:
    log.append({"user_events": records(0, 10), "feedback": records(0, 2)})
    tail = log.tail({("user_events", 0): 7, ("item_events", 0): 0, ("feedback", 0): 2})
    (page,) = tail.next(10)
    assert (page.topic, page.first, names(list(page.records)), page.end) == ("user_events", 7, ["e7", "e8", "e9"], 10)
    assert tail.next(0.01) == []
    writer = threading.Thread(target=lambda: log.append({"user_events": records(10, 3), "item_events": records(0, 1)}))
    writer.start()
    pages: list[Page] = []
    while len(pages) < 2:
        pages += tail.next(10)
    writer.join()
    assert {(page.topic, page.first, page.end) for page in pages} == {("user_events", 10, 13), ("item_events", 0, 1)}
    tail.close()


def test_consumers_remember_their_place(log: Log) -> None:
    assert log.committed("folds", "user_events") == 0
    log.commit("folds", "user_events", 5)
    log.commit("folds", "user_events", 9)
    log.commit("other", "user_events", 1)
    assert (log.committed("folds", "user_events"), log.committed("folds", "feedback")) == (9, 0)


def test_threads_read_while_one_writes(log: Log) -> None:
    problems: list[str] = []
    done = threading.Event()

    def read() -> None:
        at = 0
        while not (done.is_set() and at == log.end("user_events")):
            first, found = log.read("user_events", at, 64)
            if first != at or names(found) != [f"e{i}" for i in range(at, at + len(found))]:
                problems.append(f"{at} {first} {names(found)}")
                return
            at += len(found)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for i in range(200):
        log.append({"user_events": records(10 * i, 10)})
    done.set()
    for reader in readers:
        reader.join(60)
    assert not problems
    assert not any(reader.is_alive() for reader in readers)


WRITER = """
import sys
from nearline.schema.event import Record
from nearline.stores.logs.sqlite import SqliteLog
log = SqliteLog(sys.argv[1])
while True:
    n = log.end("user_events")
    rows = [Record(f"e{i}", "click", "u", "i", i, i) for i in range(n, n + 25)]
    ends = log.append({"user_events": rows, "feedback": rows[:1]})
    print(ends["user_events"][0] - 25, ends["feedback"][0] - 1, flush=True)
"""


def test_a_killed_writer_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    path, rng = tmp_path / "log.db", random.Random(5)
    acknowledged: list[tuple[int, int]] = []
    for _ in range(8):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(rng.randrange(1, 40))]
        writer.send_signal(signal.SIGKILL)
        lines += [line for line in writer.stdout if line.endswith("\n")]
        writer.wait()
        writer.stdout.close()
        acknowledged += [(int(a), int(b)) for a, b in (line.split() for line in lines)]
        reader = SqliteLog(path, read_only=True)
        end = reader.end("user_events")
        assert names(reader.read("user_events", 0, end + 1)[1]) == [f"e{i}" for i in range(end)]
        assert reader.end("feedback") * 25 == end  # both topics or neither
        assert acknowledged == [(25 * i, i) for i in range(len(acknowledged))] or len(acknowledged) * 25 < end
        assert all(first + 25 <= end for first, _ in acknowledged)
        assert len({first for first, _ in acknowledged}) == len(acknowledged)
        reader.close()
    assert len(acknowledged) > 8


def test_a_full_disk_refuses_and_writes_nothing(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db")
    assert log._writer is not None
    pages = log._writer.execute("PRAGMA page_count").fetchone()[0]
    log._writer.execute(f"PRAGMA max_page_count = {pages + 20}")
    written = 0
    for _ in range(100):
        try:
            log.append({"user_events": records(written, 100), "feedback": records(written, 1)})
        except StoreUnavailableError:
            break
        written += 100
    with pytest.raises(StoreUnavailableError, match="full"):
        log.append({"user_events": records(written, 100), "feedback": records(written, 1)})
    assert written > 0
    assert (log.end("user_events"), log.end("feedback")) == (written, written // 100)
    assert log.read("user_events", 0, 10**6) == (0, records(0, written))
    log._writer.execute("PRAGMA max_page_count = 100000")
    assert log.append({"user_events": records(written, 100)}) == {"user_events": {0: written + 100}}
    log.close()


def test_an_error_at_the_second_topic_takes_back_the_first(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db")
    assert log._writer is not None
    log._writer.execute("""CREATE TRIGGER refuse BEFORE INSERT ON batches WHEN new.topic = 'feedback'
                           BEGIN SELECT RAISE(FAIL, 'refused'); END""")
    with pytest.raises(sqlite3.IntegrityError, match="refused"):
        log.append({"user_events": records(0, 3), "feedback": records(0, 3)})
    assert log.read("user_events", 0, 10) == (0, [])
    assert log.append({"user_events": records(0, 3)}) == {"user_events": {0: 3}}
    log.close()


def test_a_locked_file_refuses_and_the_next_try_works(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db")
    other = sqlite3.connect(tmp_path / "log.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError, match="locked"):
        log.append({"user_events": records(0, 3)})
    other.execute("ROLLBACK")
    other.close()
    assert log.end("user_events") == 0
    assert log.append({"user_events": records(0, 3)}) == {"user_events": {0: 3}}
    log.close()


def test_one_writer_many_readers(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with pytest.raises(NearlineError, match="no log is there"):
        SqliteLog(path, read_only=True)
    log = SqliteLog(path)
    with pytest.raises(NearlineError, match=r"log\.path .* another process writes"):
        SqliteLog(path)
    child = subprocess.run([sys.executable, "-c", WRITER, str(path)], capture_output=True, text=True)
    assert "another process writes" in child.stderr
    reader = SqliteLog(path, read_only=True)
    log.append({"user_events": records(0, 3)})
    assert reader.read("user_events", 0, 10) == (0, records(0, 3))
    with pytest.raises(NearlineError, match="read-only"):
        reader.append({"user_events": records(3, 3)})
    reader.close()
    log.close()
    log.close()
    with pytest.raises(NearlineError, match="closed"):
        log.append({"user_events": records(3, 3)})
    SqliteLog(path).close()


def test_what_is_not_such_a_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database at all, but long enough to be asked" * 50)
    with pytest.raises(NearlineError, match="not a database"):
        SqliteLog(tmp_path / "text")
    SqliteLog(tmp_path / "log.db").close()
    later = sqlite3.connect(tmp_path / "log.db")
    later.execute("PRAGMA user_version = 99")
    later.close()
    with pytest.raises(NearlineError, match="version 99"):
        SqliteLog(tmp_path / "log.db")
    with pytest.raises(NearlineError, match="durability"):
        SqliteLog(tmp_path / "log.db", "maybe")  # type: ignore[arg-type]
