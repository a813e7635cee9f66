"""The lake, the archive, and the truth read back through both."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from nearline.schema.clock import DAY, HOUR, VirtualClock
from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.schema.event import ERASE, EventType, Record, concat
from nearline.schema.kinds import Kinds
from nearline.stores import lake as lake_module
from nearline.stores.archive import archive, archived_ends, trim_archived
from nearline.stores.encode import EVENT_COLUMNS, events_from_records, events_from_table
from nearline.stores.history import history, iter_records
from nearline.stores.lake import Lake, records
from nearline.stores.logs.sqlite import SqliteLog
from nearline.stores.objects import open_objects

KINDS = Kinds([EventType("click")])
T0 = 20_000 * DAY


def made(first: int, n: int, ms: int = T0, step: int = 1) -> list[Record]:
    return [
        Record(
            f"e{i}", "click", f"u{i % 5}", f"i{i}", ms + i * step - 7, ms + i * step, "s", "r", "homepage", i,
            4.5, 1500, 0.25, "A > Ä", "b", 9.99, "mobile", '{"q": "é"}',
        )
        for i in range(first, first + n)
    ]  # fmt: skip


def read(lake: Lake, **how: object) -> list[Record]:
    return [r for piece in lake.scan("user_events", **how) for r in records(piece)]  # type: ignore[arg-type]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    log = SqliteLog(tmp_path / "log.db", "relaxed")
    yield log
    log.close()


@pytest.fixture
def place(objects_url: str) -> str:
    return objects_url


@pytest.fixture
def lake(place: str, tmp_path: Path) -> Lake:
    return Lake(open_objects(place, tmp_path))


def test_all_fields_come_back_partitioned_by_date_of_append(lake: Lake) -> None:
    bare = Record("", "view", "", "", 5, T0 + 2 * DAY)  # happened in 1970, appended now
    rows = [*made(0, 30, step=2 * HOUR), bare]
    assert lake.write("user_events", 0, rows) == 31
    assert read(lake) == rows
    assert [name.removeprefix("default/user_events/") for name in lake.objects.names("default")] == [
        "date=2024-10-04/000000000000000-000000000000011.parquet",
        "date=2024-10-05/000000000000012-000000000000023.parquet",
        "date=2024-10-06/000000000000024-000000000000030.parquet",
    ]
    numbers = concat([events_from_table(t, KINDS) for t in lake.scan("user_events", columns=EVENT_COLUMNS)])
    assert numbers.tobytes() == events_from_records(rows, 0, KINDS).tobytes()


def test_a_scan_takes_what_it_is_asked_for(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake_module, "ROWS", 7)
    rows = made(0, 60, step=HOUR)
    lake.write("user_events", 0, rows[:25])
    lake.write("user_events", 25, rows[25:])
    assert read(lake, start=13, end=41) == rows[13:41]
    assert read(lake, since_ms=T0 + 30 * HOUR) == rows[30:]
    assert read(lake, start=60) == []
    (piece, *_) = lake.scan("user_events", columns=["action_type", "price", "event_type"])
    assert piece.column_names == ["action_type", "price", "event_type"]
    assert piece["action_type"].to_pylist() == ["click"] * 7
    with pytest.raises(NearlineError, match="nonsense"):
        list(lake.scan("user_events", columns=["nonsense"]))


def test_offsets_make_it_exactly_once(lake: Lake) -> None:
    rows = made(0, 50)
    lake.write("user_events", 0, rows[:20])
    assert lake.write("user_events", 0, rows[:35]) == 35  # again after a crash, and some more
    assert lake.write("user_events", 10, rows[10:20]) == 35
    with pytest.raises(NearlineError, match="ends at 35"):
        lake.write("user_events", 40, rows[40:])
    assert read(lake) == rows[:35]


ARCHIVER = """
import os, sys
from pathlib import Path
from nearline.schema.clock import WallClock
from nearline.stores import lease
from nearline.stores.archive import archive
from nearline.stores.lake import Lake
from nearline.stores.logs.sqlite import SqliteLog
from nearline.stores.objects import open_objects
kill, when = sys.argv[3], int(sys.argv[4])
lease.SECONDS, lease.GRACE, lease.LOOK = 4.0, 0.5, 0.1
lake = Lake(open_objects(sys.argv[2], Path()))
kind = os if not lake.objects.remote else type(lake.objects)
name = "replace" if kind is os else "put"
real, calls = getattr(kind, name), []
def replace(*args):
    if not str(args[1]).endswith(".parquet"):
        return real(*args)
    calls.append(args)
    if len(calls) == when and kill == "before":
        os._exit(9)
    real(*args)
    if len(calls) == when and kill == "after":
        os._exit(9)
setattr(kind, name, replace)
log = SqliteLog(sys.argv[1], read_only=True)
archive(log, lake, WallClock(), chunk=40)
log.close()
"""


@pytest.mark.parametrize("kill", ["before", "after"])
def test_a_killed_archiver_neither_repeats_nor_loses(log: SqliteLog, lake: Lake, place: str, tmp_path: Path, kill: str) -> None:
    rows = made(0, 200, step=HOUR)
    for i in range(0, 200, 20):
        log.append({"user_events": rows[i : i + 20]})
    args = [sys.executable, "-c", ARCHIVER, str(tmp_path / "log.db"), place, kill]
    for _ in range(3):
        assert subprocess.run([*args, "2"]).returncode == 9
        assert read(lake) == rows[: lake.end("user_events")]
    assert subprocess.run([*args, "0"]).returncode == 0
    assert read(lake) == rows
    assert not list((tmp_path / "objects").rglob("*.tmp"))


def test_a_full_disk_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake(tmp_path / "lake")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(StoreUnavailableError, match="No space left"):
            lake.write("user_events", 0, made(0, 3))
    assert [p for p in (tmp_path / "lake").rglob("*") if p.is_file() and p.name != ".lock"] == []
    assert lake.write("user_events", 0, made(0, 3)) == 3


def test_erase_rewrites_only_files_that_hold_the_user(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = [Record("x", "click", "gone", "i", T0, T0), Record("y", ERASE, "gone", "", T0, T0)]
    rows = [*made(0, 20), *mine, *made(22, 20)]
    lake.write("user_events", 0, rows[:20])
    lake.write("user_events", 20, rows[20:])
    lake.write("feedback", 0, mine[:1])
    put, written = lake.objects.put, []

    def noted(name: str, data: object) -> None:
        written.append(name)
        put(name, data)

    monkeypatch.setattr(lake.objects, "put", noted)
    assert lake.erase({"gone", "never seen"}, before_ms=T0) == 0
    assert lake.erase({"gone", "never seen"}) == 2
    assert read(lake) == [r for r in rows if r.event_id != "x"]
    assert [name for name in written if "user_events" in name] == [lake.files("user_events")[1].name]
    assert lake.erase({"gone"}) == 0
    assert (lake.end("user_events"), lake.end("feedback")) == (42, 1)
    assert list(lake.scan("feedback")) == []


def test_expire_drops_whole_dates_and_remembers_the_end(lake: Lake) -> None:
    rows = made(0, 72, step=HOUR)
    lake.write("user_events", 0, rows)
    assert lake.expire("user_events", T0 + 2 * DAY - 1) == 1
    assert (read(lake), lake.start("user_events")) == (rows[24:], 24)
    assert lake.expire("user_events", T0 + 9 * DAY) == 2
    assert (read(lake), lake.end("user_events")) == ([], 72)
    assert lake.expire("user_events", T0 + 9 * DAY) == 0


def test_a_clock_set_back_does_not_bring_old_dates_back(lake: Lake) -> None:
    rows = [*made(0, 5, T0 + DAY), *made(5, 5, T0)]
    lake.write("user_events", 0, rows)
    lake.write("user_events", 10, made(10, 5, T0))
    assert {file.day for file in lake.files("user_events")} == {20_001}
    assert read(lake, since_ms=T0 + DAY) == rows[:5]


def test_the_log_is_never_trimmed_before_it_is_archived(log: SqliteLog, lake: Lake) -> None:
    clock, rows = VirtualClock(T0 + 40 * HOUR), made(0, 40, step=HOUR)
    for i in range(0, 40, 5):
        log.append({"user_events": rows[i : i + 5]})

    def trimmed(retention: int) -> int:
        return trim_archived(log, archived_ends(log, lake), clock, retention)["user_events"]

    assert trimmed(0) == 0
    lake.write("user_events", 0, rows[:22])
    assert trimmed(30 * HOUR) == 10  # 10..14 holds one of the last 30 hours
    assert trimmed(0) == 10  # 20..24 is not wholly archived
    assert log.start("user_events") == 20
    waits = archive(log, lake, clock, min_records=100, max_age_ms=100 * HOUR)
    assert (waits.records["user_events"], waits.behind["user_events"]) == (0, 18)
    report = archive(log, lake, clock)
    assert (report.records["user_events"], report.ends["user_events"]) == (18, 40)
    assert trimmed(0) == 20
    assert read(lake) == rows


def test_a_log_that_ends_before_the_lake_is_refused(log: SqliteLog, lake: Lake) -> None:
    lake.write("user_events", 0, made(0, 10))
    log.append({"user_events": made(0, 3)})
    with pytest.raises(NearlineError, match="set_end"):
        archive(log, lake, VirtualClock(T0))
    log.set_end("user_events", lake.end("user_events"))
    log.append({"user_events": made(10, 2)})
    assert archive(log, lake, VirtualClock(T0)).records["user_events"] == 2
    assert read(lake) == made(0, 12)


@pytest.mark.parametrize("start", [0, 1, 29, 30, 31, 55])
def test_history_has_no_seam(log: SqliteLog, lake: Lake, start: int) -> None:
    rows = made(0, 60)
    for i in range(0, 60, 10):
        log.append({"user_events": rows[i : i + 10]})
    lake.write("user_events", 0, rows[:30])
    log.trim("user_events", 20)  # the lake and the log overlap in 20..30
    numbers = concat(list(history(log, lake, "user_events", start, kinds=KINDS)))
    assert numbers.tobytes() == events_from_records(rows[start:], start, KINDS).tobytes()
    pairs = iter_records(log, lake, "user_events", start)
    found = [(first + i, r) for first, some in pairs for i, r in enumerate(some)]
    assert found == list(enumerate(rows))[start:]


def test_history_follows_a_trim_that_overtakes_it(log: SqliteLog, lake: Lake) -> None:
    rows = made(0, 60)
    for i in range(0, 60, 10):
        log.append({"user_events": rows[i : i + 10]})
    lake.write("user_events", 0, rows[:10])
    pairs = iter_records(log, lake, "user_events")
    first = [next(pairs)]
    archive(log, lake, VirtualClock(T0))
    log.trim("user_events", 50)
    assert [r for _, some in first + list(pairs) for r in some] == rows


def test_history_tells_of_a_gap_and_passes_over_what_was_erased(log: SqliteLog, lake: Lake) -> None:
    for i in range(6):
        lake.write("user_events", 10 * i, made(10 * i, 10))
    log.set_end("user_events", 60)
    lake.erase({"u3"})
    offsets = np.concatenate([e["offset"] for e in history(log, lake, "user_events", kinds=KINDS)])
    assert offsets.tolist() == [i for i in range(60) if i % 5 != 3]
    assert [f for f, _ in iter_records(log, lake, "user_events", 50)] == [50, 54, 59]
    lake.objects.delete([lake.files("user_events")[2].name])
    with pytest.raises(NearlineError, match=r"user_events offset = 20: records up to 30 are gone"):
        list(history(log, lake, "user_events", kinds=KINDS))
    assert len(concat(list(history(log, lake, "user_events", 30, kinds=KINDS)))) == 24
    log.append({"user_events": made(60, 10)})
    log.trim("user_events", 70)
    with pytest.raises(NearlineError, match=r"offset = 60: records up to 70 are gone"):
        list(history(log, lake, "user_events", 30, kinds=KINDS))


def test_a_hole_in_the_log_is_filled_from_the_lake(log: SqliteLog, lake: Lake) -> None:
    rows = made(0, 40)
    lake.write("user_events", 0, rows[:30])
    log.append({"user_events": rows[:10]})
    log.set_end("user_events", 30)  # as after a power cut that took a relaxed log's tail
    log.append({"user_events": rows[30:]})
    assert [r for _, some in iter_records(log, lake, "user_events", 5) for r in some] == rows[5:]


def test_a_bulk_import_comes_before_the_log(log: SqliteLog, lake: Lake) -> None:
    n = 100
    table = pa.table({"user_id": np.arange(n), "item_id": ["i"] * n, "action_type": ["click"] * n,
                      "timestamp": T0 + np.arange(n) * HOUR})  # fmt: skip
    log.set_end("user_events", lake.write_table("user_events", table))
    assert log.append({"user_events": made(n, 5)}) == {"user_events": {0: n + 5}}
    numbers = concat(list(history(log, lake, "user_events", kinds=KINDS)))
    assert numbers["offset"].tolist() == list(range(n + 5))
    assert set(numbers["kind"]) == {1}
    assert len(lake.files("user_events")) == 5
    with pytest.raises(NearlineError, match="colour"):
        lake.write_table("user_events", table.append_column("colour", pa.array(["red"] * n)))
    with pytest.raises(NearlineError, match="timestamp"):
        lake.write_table("user_events", table.drop_columns(["timestamp"]))


def test_a_partition_of_its_own_is_not_among_the_first_ones(lake: Lake) -> None:
    lake.write("user_events", 0, made(0, 5))
    lake.partition(3).write("user_events", 0, made(0, 9))
    assert (lake.end("user_events"), lake.partition(3).end("user_events")) == (5, 9)
    assert [file.last for file in lake.files("user_events")] == [4]
    assert lake.partition(3).seen_end("user_events") == 9
    assert lake.partition(2).seen_end("user_events") == 0
