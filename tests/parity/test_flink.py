"""The same events folded in process, by a consumer group and by Flink, killed and rescaled: the same rows, byte for byte."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from engines import flink
from engines.kafka import JAVA, Kafka
from engines.valkey import Valkey
from nearline.schema.event import Record
from nearline.stores.log import Log
from nearline.stores.user_rows import UserRow, UserRows

sys.path += [str(Path(__file__).parents[1] / name) for name in ("faults", "features")]
from server_process import Server
from test_golden import GOLDEN
from test_stream_workers import PARTITIONS, expected, stream

ROUNDS = 5 if os.environ.get("FULL_TESTS") else 1
"""How often it all happens: workers killed, the job killed, rescaled from a checkpoint and from a savepoint."""
EVENTS = 1500
PATIENCE = 600.0
"""Seconds; three interpreters, a JVM and its workers start one after the other."""


@pytest.fixture(scope="module")
def environment() -> Path:
    if missing := flink.available():
        pytest.skip(f"Flink {missing}")
    return flink.install()


def shop(folder: Path, broker: Kafka, rows: Valkey, number: int) -> Server:
    rows.say("FLUSHALL")
    url = f"{rows.url.rpartition('/')[0]}/{number}"
    log = f"{broker.url}/{uuid.uuid4().hex[:8]}"
    return Server(folder, {"STORAGE_LOG": log, "STORAGE_PARTITIONS": PARTITIONS, "STORAGE_STATE": url})


def wait(said: Server, worker: subprocess.Popen[bytes], log: Log, store: UserRows) -> None:
    """Wait until all that the log holds is in the rows."""
    ends = {number: log.partition(number).end("user_events") for number in range(PARTITIONS)}
    until = time.monotonic() + PATIENCE
    while store.read([1], list(ends))[1] != list(ends.values()):
        assert worker.poll() is None, said.output()[-3000:]
        assert time.monotonic() < until, said.output()[-3000:]
        time.sleep(0.2)


def rows_of(store: UserRows, wanted: dict[int, UserRow]) -> dict[int, UserRow]:
    return {row.visitor: row for row in store.read(list(wanted))[0]}


def python_workers(job: int) -> list[int]:
    """Return the processes below the job in which Flink calls our code."""
    said = subprocess.run(["ps", "-ww", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    found = [line.split(None, 2) for line in said.splitlines()]
    below = {job}
    while more := {int(pid) for pid, parent, _ in found if int(parent) in below} - below:
        below |= more
    return [int(pid) for pid, _, command in found if int(pid) in below and "-m pyflink.fn_execution" in command]


@pytest.mark.timeout(2400)
def test_rows_are_the_same_whoever_folds(
    environment: Path, broker: Kafka, redis_server: Valkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLINK_ENVIRONMENT", str(environment))
    monkeypatch.setenv("PYTHONPATH", str(flink.ROOT / "src"))  # there as here: this checkout's code
    monkeypatch.setenv("JVM_ARGS", " ".join(JAVA))
    group, other = shop(tmp_path / "group", broker, redis_server, 0), shop(tmp_path / "flink", broker, redis_server, 1)
    logs = [group.tenant().log(), other.tenant().log()]
    stores = [group.tenant().user_rows(5.0), other.tenant().user_rows(5.0)]
    state, rng = tmp_path / "flink" / "data" / "default" / "flink", random.Random(5)
    records: list[Record] = []

    def append(seconds: float = 0.0) -> None:
        """Append events to both logs, in so many seconds."""
        some = stream(len(records), EVENTS)
        for begin in range(0, len(some), 300):
            for log in logs:
                log.append({"user_events": some[begin : begin + 300]})
            time.sleep(seconds * 300 / len(some))
        records.extend(some)

    def start(parallelism: int) -> subprocess.Popen[bytes]:
        return other.command("stream", "--engine", "flink", "--parallelism", str(parallelism))

    def caught_up() -> None:
        wait(other, running[-1], logs[1], stores[1])

    def checkpoints() -> set[Path]:
        return set(state.glob("checkpoints/*/chk-*/_metadata"))

    running = [group.command("stream"), start(1)]
    try:
        append()
        for _ in range(ROUNDS):
            caught_up()
            # A worker is killed while events come: Flink starts another, from the newest checkpoint.
            workers, seen = python_workers(running[-1].pid), checkpoints()
            assert workers
            append()
            time.sleep(rng.uniform(0.0, 0.1))
            for pid in workers:
                os.kill(pid, signal.SIGKILL)
            append(1.0)
            caught_up()
            assert not set(workers) & set(python_workers(running[-1].pid))
            # The whole job is killed while it folds, or between folding and the next checkpoint.
            until = time.monotonic() + PATIENCE
            while not checkpoints() - seen:
                assert time.monotonic() < until, other.output()[-3000:]
                time.sleep(0.1)
            append()
            time.sleep(rng.uniform(0.0, 0.3))
            running[-1].kill()
            running[-1].wait()
            append()
            # Now two share the partitions that one had, from a checkpoint.
            running[-1] = start(2)
            caught_up()
            assert len(python_workers(running[-1].pid)) >= 2
            running[-1].send_signal(signal.SIGTERM)
            assert running[-1].wait(PATIENCE) == 0, other.output()[-3000:]
            assert list(state.glob("savepoints/*/_metadata")), "it left no savepoint"
            append()
            # And from the savepoint one has all again.
            running[-1] = start(1)
        caught_up()
        wait(group, running[0], logs[0], stores[0])
        wanted = expected(group, records)
        assert len(wanted) > 250
        assert rows_of(stores[0], wanted) == wanted
        assert rows_of(stores[1], wanted) == wanted
    finally:
        for process in running:
            process.kill()
            process.wait()
        for store in stores:
            store.close()
        for log in logs:
            log.close()


@pytest.mark.timeout(900)
def test_folds_write_there_what_they_write_here(environment: Path) -> None:
    """Older NumPy, other packages: the golden bytes hold in Flink's environment too."""
    state = flink.ROOT / "tests" / "features" / "golden_state.py"
    done = subprocess.run(
        [str(environment / "bin" / "python"), str(state)],
        env={**os.environ, "PYTHONPATH": str(flink.ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert dict(line.split() for line in done.stdout.splitlines()) == GOLDEN
