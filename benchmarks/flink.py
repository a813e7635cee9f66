"""One worker of `nearline stream`, on Flink and in a consumer group: events a second, and from event to row.

Kafka, Redis (Valkey) and the worker share this machine. The log is filled first; the rate is that of reading it. Then single
events come, and their rows are looked at until they are there.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import numpy as np

from benchmarks.table import Row, percentile, say, show
from engines import flink
from engines.kafka import Kafka
from engines.valkey import Valkey
from nearline.app.load import load_app
from nearline.app.settings import load_settings
from nearline.app.tenant import Tenant
from nearline.schema.event import Record
from nearline.schema.ids import partition_of, visitor_key
from nearline.stores.log import Log
from nearline.stores.user_rows import UserRows

COMMAND = "python -m benchmarks.flink"
APP = 'from nearline import App\napp = App(name="shop", events=["view", "click", "add_to_cart", "purchase"])\n'
PARTITIONS, VISITORS, ITEMS, GROUP = 4, 20_000, 10_000, 5_000
PATIENCE = 300.0
GAP = 0.02


def records(first: int, n: int, now: int) -> list[Record]:
    """Return events of visitors that come again and again."""
    rng = np.random.default_rng(first)
    users, items = rng.integers(VISITORS, size=n).tolist(), rng.integers(ITEMS, size=n).tolist()
    kinds = rng.choice(["view", "view", "click", "add_to_cart"], size=n).tolist()
    return [
        Record(f"e-{first + k}", kinds[k], f"u{users[k]}", f"i{items[k]}", now, now, f"s-{users[k]}", category="c", price=9.5)
        for k in range(n)
    ]


def rate(log: Log, store: UserRows, worker: subprocess.Popen[bytes], before: int) -> float:
    """Wait until the rows hold all of the log; return events a second from the first rows written on."""
    parts = list(range(PARTITIONS))
    whole = sum(log.partition(number).end("user_events") for number in parts)
    began, seen = 0.0, 0
    until = time.monotonic() + PATIENCE
    while True:
        done, now = sum(store.read([1], parts)[1]), time.monotonic()
        if not began and done > before:
            began, seen = now, done
        if done >= whole:
            return (whole - seen) / max(now - began, 1e-9)  # nothing, where all came at once
        if worker.poll() is not None or now > until:
            raise SystemExit(f"the worker came as far as {done} of {whole}")
        time.sleep(0.02)


def waits(log: Log, store: UserRows, clock: float, n: int) -> list[float]:
    """Append single events; return the seconds from each event's acknowledgement to its row."""
    out = []
    for k in range(n):
        (record,) = records(1_000_000_000 + k, 1, int(clock * 1000))
        visitor = visitor_key(record.user_id, record.session_id)
        number = partition_of(visitor, PARTITIONS)
        began = time.monotonic()
        end = log.append({"user_events": [record]})["user_events"][number]
        while store.read([visitor], [number])[1][0] < end:
            time.sleep(0.001)
        out.append(time.monotonic() - began)
        time.sleep(GAP)
    return out


def run(engine: str, folder: Path, events: int, singles: int) -> list[Row]:
    """Measure one engine."""
    broker, rows = Kafka(folder / "kafka"), Valkey(folder / "valkey")
    app = folder / "app.py"
    app.write_text(APP)
    settings = {
        "NEARLINE_STORAGE_LOG": f"kafka://127.0.0.1:{broker.port}/{uuid.uuid4().hex[:8]}",
        "NEARLINE_STORAGE_PARTITIONS": str(PARTITIONS),
        "NEARLINE_STORAGE_STATE": rows.url,
        "NEARLINE_STORAGE_PATH": str(folder / "data"),
        "PYTHONPATH": str(flink.ROOT / "src"),
    }
    if engine == "flink":
        settings["FLINK_ENVIRONMENT"] = str(flink.install())
    broker.start()
    rows.start()
    tenant = Tenant(load_app(app), load_settings(None, settings))
    log, store = tenant.log(), tenant.user_rows(5.0)
    command = [sys.executable, "-m", "nearline.cli", "stream", "--engine", engine, "--app", str(app)]
    worker = None
    try:
        log.append({"user_events": records(0, 100, int(time.time() * 1000))})
        began = time.monotonic()
        worker = subprocess.Popen(command, env={**os.environ, **settings}, stderr=subprocess.DEVNULL)
        rate(log, store, worker, 0)
        say(f"{engine}: first rows after {time.monotonic() - began:.0f} s")
        worker.send_signal(signal.SIGTERM)
        worker.wait(120)
        for first in range(100, events, GROUP):
            log.append({"user_events": records(first, GROUP, int(time.time() * 1000))})
        worker = subprocess.Popen(command, env={**os.environ, **settings}, stderr=subprocess.DEVNULL)
        speed = rate(log, store, worker, 100)
        say(f"{engine}: {speed:,.0f} events/s")
        found = waits(log, store, time.time(), singles)
        middle, tail = percentile(found, 0.5) * 1e3, percentile(found, 0.99) * 1e3
        say(f"{engine}: event to row p50 {middle:.0f} ms, p99 {tail:.0f} ms")
    finally:
        if worker is not None:
            worker.send_signal(signal.SIGTERM)
            worker.wait(120)
        store.close()
        log.close()
        rows.kill()
        broker.kill()
    return [
        Row(f"events/s of one stream worker, {engine}, Kafka to Redis", f"{speed:,.0f}", "15,000", "25,000", COMMAND),
        Row(
            f"event acknowledged → row in Redis, {engine}, one at a time",
            f"p50 {middle:.0f} ms, p99 {tail:.0f} ms",
            "p99 < 1,000 ms",
            "",
            COMMAND,
        ),
    ]


def main() -> None:
    """Run it alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000, help="in the log when a worker starts")
    parser.add_argument("--singles", type=int, default=200, help="events that are waited for")
    parser.add_argument("--engines", nargs="+", choices=("group", "flink"), default=("group", "flink"))
    o = parser.parse_args()
    out: list[Row] = []
    for engine in o.engines:
        with tempfile.TemporaryDirectory() as folder:
            out += run(engine, Path(folder), o.events, o.singles)
    show(out)


if __name__ == "__main__":
    main()
