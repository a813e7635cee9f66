"""What the log in PostgreSQL promises beside the contract: through kills, among processes, to those who ask it in SQL."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import psycopg
import pytest

from engines.postgresql import Postgresql
from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.schema.event import Record
from nearline.stores.log import Page
from nearline.stores.logs.postgresql import PostgresqlLog
from nearline.stores.open_log import LogPlace, open_log


def tenant() -> str:
    return f"t{uuid.uuid4().hex[:8]}"


def opened(server: Postgresql, name: str, read_only: bool = False) -> PostgresqlLog:
    log = open_log(LogPlace(server.url, Path(), name, read_only=read_only))
    assert isinstance(log, PostgresqlLog)
    return log


def records(first: int, n: int, who: str = "e") -> list[Record]:
    return [Record(f"{who}{i}", "click", "u", "i", i, i) for i in range(first, first + n)]


def test_a_killed_server_loses_nothing_it_acknowledged_and_all_go_on_when_it_is_back(postgresql_server: Postgresql) -> None:
    name = tenant()
    log = opened(postgresql_server, name)
    tail = log.tail({("user_events", 0): 0, ("feedback", 0): 0})
    acknowledged: list[str] = []
    failures = 0
    ending = threading.Event()

    def write() -> None:
        nonlocal failures
        place = 0
        while not ending.is_set():
            batch = records(place, 20)
            place += 20
            try:
                log.append({"user_events": batch, "feedback": batch[:1]})
            except StoreUnavailableError:
                failures += 1
                time.sleep(0.05)
            else:
                acknowledged.extend(record.event_id for record in batch)

    writer = threading.Thread(target=write)
    writer.start()
    seen: dict[str, list[Record]] = {"user_events": [], "feedback": []}

    def follow(seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                pages = tail.next(0.05)
            except StoreUnavailableError:
                time.sleep(0.05)
                continue
            for page in pages:
                assert page.first == len(seen[page.topic])
                seen[page.topic] += page.records

    for _ in range(3):
        follow(0.4)
        before, lost = len(acknowledged), failures
        postgresql_server.kill()
        follow(0.2)
        postgresql_server.start()
        until = time.monotonic() + 20
        while len(acknowledged) <= before and time.monotonic() < until:
            follow(0.05)
        assert len(acknowledged) > before
        assert failures > lost
    ending.set()
    writer.join()
    until = time.monotonic() + 20
    while len(seen["user_events"]) < log.end("user_events") and time.monotonic() < until:
        follow(0.05)
    came = [record.event_id for record in seen["user_events"]]
    assert set(acknowledged) <= set(came)
    assert log.read("user_events", 0, 10**6) == (0, seen["user_events"])
    assert len(seen["feedback"]) * 20 == len(came)  # both topics or neither
    tail.close()
    log.close()


APPENDER = """
import sys
from pathlib import Path
from nearline.schema.event import Record
from nearline.stores.open_log import LogPlace, open_log
url, tenant, who = sys.argv[1:]
log = open_log(LogPlace(url, Path(), tenant))
sys.stdin.readline()
for turn in range(80):
    rows = [Record(f"{who}-{turn}-{i}", "click", who, "i", 1, 1) for i in range(1 + turn % 30)]
    ends = log.append({"user_events": rows, "feedback": rows[:1]})
    print(ends["user_events"][0] - len(rows), len(rows), flush=True)
"""


def test_processes_that_append_at_once_leave_no_holes_and_a_tail_sees_all_in_order(postgresql_server: Postgresql) -> None:
    name = tenant()
    command = [sys.executable, "-c", APPENDER, postgresql_server.url, name]
    processes = [
        subprocess.Popen([*command, who], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for who in ("a", "b", "c")
    ]
    log = opened(postgresql_server, name)  # at once with the others: who comes first makes the tables
    tail = log.tail({("user_events", 0): 0})
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    total = 3 * sum(1 + turn % 30 for turn in range(80))
    pages: list[Page] = []
    until = time.monotonic() + 60
    while sum(len(page.records) for page in pages) < total and time.monotonic() < until:
        pages += tail.next(1)
    came: list[Record] = []
    for page in pages:
        assert page.first == len(came)
        came += page.records
    assert len(came) == log.end("user_events") == total
    for process, who in zip(processes, ("a", "b", "c"), strict=True):
        out, _ = process.communicate(timeout=30)
        places = [tuple(map(int, line.split())) for line in out.splitlines()]
        assert len(places) == 80
        for turn, (first, n) in enumerate(places):
            assert [record.event_id for record in came[first : first + n]] == [f"{who}-{turn}-{i}" for i in range(n)]
    assert log.end("feedback") == 240
    tail.close()
    log.close()


def test_a_tail_is_told_at_once(postgresql_server: Postgresql, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nearline.stores.postgresql.followers.LOOK", 60.0)  # it does not ask by itself
    name = tenant()
    log, other = opened(postgresql_server, name), opened(postgresql_server, name)
    tail = log.tail({("user_events", 0): 0})
    assert tail.next(0) == []
    waits: list[float] = []
    for place in range(20):
        threading.Timer(0.02, lambda place=place: other.append({"user_events": records(place, 1)})).start()
        (page,) = tail.next(30)
        waits.append(time.monotonic())
        assert (page.first, page.end) == (place, place + 1)
    assert len(waits) == 20
    for each in (tail, log, other):
        each.close()


def test_sql_reads_the_events(postgresql_server: Postgresql) -> None:
    name = tenant()
    log = opened(postgresql_server, name)
    rows = [("u1", "a"), ("u1", "b"), ("u2", "a"), ("u2", "b"), ("u3", "b"), ("u3", "c")]
    log.append(
        {
            "user_events": [
                Record(f"e{n}", "click", user, item, 1_790_000_000_123, 1_790_000_000_456, price=2.5, position=n)
                for n, (user, item) in enumerate(rows)
            ]
        }
    )
    with psycopg.connect(postgresql_server.url) as connection:
        pairs = connection.execute(
            """SELECT a.item_id, b.item_id, count(DISTINCT a.user_id) FROM nearline_events a JOIN nearline_events b
               ON a.tenant = b.tenant AND a.user_id = b.user_id AND a.item_id < b.item_id
               WHERE a.tenant = %s GROUP BY 1, 2 ORDER BY 3 DESC""",
            (name,),
        ).fetchall()
        assert pairs == [("a", "b", 2), ("b", "c", 1)]
        query = "SELECT extract(epoch FROM timestamp) * 1000, price, position FROM nearline_events WHERE tenant = %s"
        assert connection.execute(f"{query} ORDER BY log_offset DESC LIMIT 1", (name,)).fetchone() == (
            1_790_000_000_123,
            2.5,
            5,
        )
    log.close()


def test_records_come_back_whole_but_for_what_no_text_holds(postgresql_server: Postgresql) -> None:
    log = opened(postgresql_server, tenant())
    full = Record("é\n\t\\N", "view", "u", "i", -1, 2**62, "s", "r", "p", 3, 4.5, 6, -0.1, "c", "b", 1e300, "d", '{"k": "ü"}')
    log.append({"user_events": [full]})
    log.append({"user_events": [Record("a\0b", "view", "half\ud800", "i", 1, 1), full]})
    _, found = log.read("user_events", 0, 10)
    assert found == [full, Record("a\ufffdb", "view", "half?", "i", 1, 1), full]
    assert log.end("user_events") == 3
    log.close()


def test_what_does_not_fit_is_refused_with_a_remedy_and_without_secrets(postgresql_server: Postgresql) -> None:
    port = postgresql_server.port

    def refused(url: str, **more: object) -> str:
        with pytest.raises((NearlineError, StoreUnavailableError)) as caught:
            open_log(LogPlace(url, Path(), **more))  # type: ignore[arg-type]
        text = str(caught.value)
        assert caught.value.__cause__ is None
        assert "half" not in text
        assert "hidden" not in text
        return text

    assert "storage.partitions" in refused(postgresql_server.url, partitions=4)
    assert "refused" in refused("postgresql://u:hidden@127.0.0.1:1/db").lower()
    assert "write postgresql://" in refused(f"postgresql://u:hidden/half@127.0.0.1:{port}/db")
    refused(f"postgresql://u:hidden@half@127.0.0.1:{port}/db")
    assert "does not exist" in refused(f"postgresql://nearline@127.0.0.1:{port}/nosuch?password=hidden")
    empty = f"{postgresql_server.url}?options=-csearch_path%3Dpg_temp"
    assert "start the server first" in refused(empty, read_only=True)
    with psycopg.connect(postgresql_server.url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA later")
        connection.execute("CREATE TABLE later.nearline_version (version int)")
        connection.execute("INSERT INTO later.nearline_version VALUES (99)")
    assert "version 99" in refused(f"{postgresql_server.url}?options=-csearch_path%3Dlater")
    log = opened(postgresql_server, tenant())
    log.close()
    log.close()
    with pytest.raises(NearlineError, match="closed"):
        log.end("user_events")


def test_a_server_that_hangs_is_given_up(postgresql_server: Postgresql) -> None:
    log = opened(postgresql_server, tenant())
    for connection in log._connections._idle:
        connection.patience = 0.3
    log.append({"user_events": records(0, 3)})
    postgresql_server.freeze()
    try:
        with pytest.raises(StoreUnavailableError, match=r"no answer within 0\.3 s"):
            log.append({"user_events": records(3, 3)})
    finally:
        postgresql_server.thaw()
    log.append({"user_events": records(6, 3)})
    assert log.read("user_events", 0, 3) == (0, records(0, 3))
    log.close()
