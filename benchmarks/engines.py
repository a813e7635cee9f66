"""Nearline on Kafka and Redis beside the embedded form, in one run each: events in, rows moved, lists out.

The broker and the store run on this machine too, and what they take is missing elsewhere: figures are shares of each other.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import random
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.ingest import bodies
from benchmarks.loader import Connection, closed_loop, get, post
from benchmarks.server import LOADER, SERVER, serving
from benchmarks.serving import CONNECTIONS, lists, served_from
from benchmarks.table import Row, percentile, say, show, spread
from benchmarks.world import Bench, arguments, make
from engines.deployment import Deployment
from engines.kafka import Kafka
from engines.load import Load
from engines.valkey import Valkey
from nearline.app.load import load_app
from nearline.app.settings import load_settings
from nearline.app.tenant import Tenant
from nearline.embedded.memory import keep_freed, settle
from nearline.schema.event import Record
from nearline.schema.ids import partition_of, visitor_key
from nearline.stores.history import iter_records
from nearline.stores.user_rows import UserRow
from nearline.stream.local import LocalStream
from nearline.stream.rows import HEAD
from nearline.stream.worker import StreamWorker

COMMAND = "python -m benchmarks.engines"
GROUP = 5_000
PARTITIONS = 4


def tenant_on(bench: Bench, settings: Mapping[str, str]) -> Tenant:
    """Return the shop's tenant with other settings, by environment name."""
    return Tenant(load_app(bench.folder / "app.py"), load_settings(bench.folder / "nearline.toml", settings))


def ingested(bench: Bench, settings: Mapping[str, str], name: str, seconds: float) -> float:
    """Return events a second through HTTP, in batches of 100 on 16 connections, acknowledged."""
    with serving(bench.folder, os.sched_getaffinity(0), 120.0, **settings) as server:
        load = closed_loop(server.port, bodies(bench, 100, name), 16, seconds)
        if set(load.words) != {"202"}:
            say(f"WARNING: not every answer was 202: {dict(load.words)}")
        return load.rate * 100


def ingest(bench: Bench, broker: Kafka, repeats: int, seconds: float) -> list[Row]:
    """Measure events in, on the shop's embedded log and on Kafka in turns."""
    rates: dict[str, list[float]] = {"embedded": [], "Kafka": []}
    for repeat in range(repeats):
        empty = {"NEARLINE_STORAGE_PATH": str(bench.folder / f"empty{repeat}")}
        rates["embedded"].append(ingested(bench, empty, f"e{repeat}", seconds))
        shared = {
            "NEARLINE_STORAGE_PATH": str(bench.folder / f"shared{repeat}"),
            "NEARLINE_STORAGE_LOG": f"{broker.url}/ingest{repeat}",
            "NEARLINE_STORAGE_PARTITIONS": str(PARTITIONS),
        }
        rates["Kafka"].append(ingested(bench, shared, f"k{repeat}", seconds))
        say(f"events in: {rates}")
    return [
        Row(f"events/s through HTTP, batches of 100, acknowledged: {name}", spread(found).text(), "", "", COMMAND)
        for name, found in rates.items()
    ]


def events_of(bench: Bench, n: int, seed: int) -> list[Record]:
    """Return events of the shop's users, half of them of a tenth of the users."""
    rng, now, out = random.Random(seed), 1_790_000_000_000, []
    few = max(1, len(bench.users) // 10)
    for k in range(n):
        user = bench.users[rng.randrange(few if rng.random() < 0.5 else len(bench.users))]
        kind = rng.choice(("view", "view", "click", "add_to_cart"))
        item = bench.items[rng.randrange(len(bench.items))]
        out.append(
            Record(
                f"w{seed}-{k}", kind, user, item, now + k, now + k, f"s-{user}", page="category", position=1 + k % 24,
                dwell_ms=12_000, category="Home > Kitchen", brand="Orbel", price=19.5, device="mobile",
            )
        )  # fmt: skip
    return out


def folded(bench: Bench, broker: Kafka, store: Valkey, repeats: int, events: int, profile: bool) -> list[Row]:
    """Measure one worker, threads of its client included, on one core: from a full log to rows in the store."""
    records, rates = events_of(bench, events, 5), []
    for repeat in range(repeats + 1):  # in the first one the broker sets its groups up
        store.say("FLUSHALL")
        settings = {
            "NEARLINE_STORAGE_LOG": f"{broker.url}/worker{repeat}-{os.getpid()}",
            "NEARLINE_STORAGE_PARTITIONS": str(PARTITIONS),
            "NEARLINE_STORAGE_STATE": store.url,
        }
        tenant = tenant_on(bench, settings)
        log = tenant.log()
        for begin in range(0, events, GROUP):
            log.append({"user_events": records[begin : begin + GROUP]})
        log.close()
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {SERVER})
        rates.append(_folds(tenant, events, profile))
        os.sched_setaffinity(0, before)
    return [Row("events folded and written to Redis/s, one worker, one core", spread(rates[1:]).text(), "50,000", "", COMMAND)]


def _folds(tenant: Tenant, events: int, profile: bool) -> float:
    """Return the events a second that a new worker folds."""
    log, rows, ends = tenant.log(), tenant.user_rows(30.0), list[float]()

    def took(n: int, seconds: float) -> None:
        ends.append(time.monotonic())
        if worker.folder.folded >= events:
            worker.stop()

    worker, watched = StreamWorker(tenant, log, rows, took), cProfile.Profile()
    keep_freed()
    settle()
    if profile:
        watched.enable()
    began, cpu = time.monotonic(), time.process_time()
    worker.run()
    spent, cpu = ends[-1] - began, time.process_time() - cpu
    if profile:
        watched.disable()
        pstats.Stats(watched).sort_stats("tottime").print_stats(22)
    say(f"worker: {events / spent:,.0f} events/s, first page after {ends[0] - began:.2f} s, {len(ends)} pages, {cpu:.2f} s CPU")
    log.close()
    rows.close()
    return events / spent


def read_rows(bench: Bench, store: Valkey, repeats: int) -> list[Row]:
    """Measure reads of rows: one visitor at a time, and 100 in one question."""
    tenant = tenant_on(bench, {"NEARLINE_STORAGE_LOG": "kafka://127.0.0.1:1", "NEARLINE_STORAGE_STATE": store.url})
    rows = tenant.user_rows(5.0)
    visitors = [visitor_key(user, "") for user in bench.users]
    tails, rates = [], []
    for _ in range(repeats):
        took = []
        for visitor in visitors[:3000]:
            began = time.perf_counter()
            rows.read([visitor], [0])
            took.append(time.perf_counter() - began)
        tails.append(percentile(took, 0.99) * 1e3)
        began = time.perf_counter()
        for begin in range(0, len(visitors), 100):
            rows.read(visitors[begin : begin + 100])
        rates.append(len(visitors) / (time.perf_counter() - began))
    rows.close()
    return [
        Row("a visitor's rows read from Redis, p99", f"{spread(tails).text('.2f')} ms", "< 1 ms", "", COMMAND),
        Row("visitors' rows read from Redis/s, 100 a question", spread(rates).text(), "100,000", "", COMMAND),
    ]


def moved(bench: Bench, broker: Kafka, store: Valkey) -> None:
    """Put the shop's items into the log and its visitors' rows into the store, as workers would have."""
    here = bench.tenant()
    log = here.log(read_only=True)
    stream = LocalStream(here)
    stream.restore(log)
    there = tenant_on(bench, on_redis(broker, store))
    other, rows = there.log(), there.user_rows(30.0)
    for _, records in iter_records(log, here.lake, "item_events"):
        other.append({"item_events": records})
    log.close()
    other.close()
    visitors = stream.world.state.users.keys
    hot, history = stream.world.state.pull(np.arange(len(visitors), dtype=np.int32))
    packed = [
        UserRow(int(v), h.tobytes(), h.tobytes()[:HEAD] + k.tobytes()) for v, h, k in zip(visitors, hot, history, strict=True)
    ]
    rows.write(packed, {0: stream.world.state.offset})
    rows.close()
    size = sum(len(row.hot) + len(row.history) for row in packed) / len(packed)
    say(f"{len(packed):,} visitors' rows in Redis, {size:,.0f} bytes each")


def on_redis(broker: Kafka, store: Valkey) -> dict[str, str]:
    """Return the settings of the shop with its rows in Redis; its history is in the lake."""
    return {"NEARLINE_STORAGE_LOG": f"{broker.url}/lists", "NEARLINE_STORAGE_STATE": store.url}


def listed(bench: Bench, broker: Kafka, store: Valkey, repeats: int, seconds: float) -> list[Row]:
    """Measure full lists with rows in memory and in Redis, in turns; the store is on the loader's core."""
    store.say("FLUSHALL")
    moved(bench, broker, store)
    rates: dict[str, list[float]] = {"memory": [], "Redis": []}
    requests = lists(bench)
    os.sched_setaffinity(store.pid, {LOADER})
    for _ in range(repeats):
        for name, settings in (("memory", {}), ("Redis", on_redis(broker, store))):
            with serving(bench.folder, {SERVER}, 300.0, **settings) as server:
                closed_loop(server.port, requests, CONNECTIONS, 2.0)
                load = closed_loop(server.port, requests, CONNECTIONS, seconds, look=served_from)
                rates[name].append(load.rate)
                say(f"lists, rows in {name}: {load.rate:,.0f}/s, {dict(load.words)}")
    share = spread([b / a for a, b in zip(rates["memory"], rates["Redis"], strict=True)])
    return [
        *(Row(f"full lists/s, one core, rows in {name}", spread(own).text(), "", "", COMMAND) for name, own in rates.items()),
        Row("lists with rows in Redis : in memory", f"{share.text('.2f')} ×", "0.7 ×", "", COMMAND),
    ]


def fresh(folder: Path, broker: Kafka, store: Valkey, seconds: float, rate: float) -> list[Row]:
    """Measure from an event's sending to its visitor's row, and to a list that has seen it, beside `rate` events/s."""
    shop = Deployment(folder, broker, store)
    shop.start()
    taken, rows, lists_ = [], [], []
    tenant = shop.tenant()
    log = tenant.log(read_only=True)
    partitions, store_ = log.partitions, tenant.user_rows(5.0)
    log.close()
    try:
        with Load(shop.ports, 5, rate, 3, users=5_000):
            time.sleep(3)
            connections = [Connection(port) for port in shop.ports]
            until, n = time.monotonic() + seconds, 0
            while time.monotonic() < until:
                n += 1
                visitor, user = visitor_key(f"probe{n}", ""), f"probe{n}"
                body = msgspec.json.encode({"user_id": user, "event_type": "click", "item_id": f"i{n % 60}"})
                began = time.monotonic()
                _, data = connections[n % 2].ask(post("/v1/events", body))
                offset = msgspec.json.decode(data[data.find(b"\r\n\r\n") + 4 :])["offset"]
                taken.append(time.monotonic() - began)
                while store_.read([visitor], [partition_of(visitor, partitions)])[1][0] < offset:
                    time.sleep(0.001)
                rows.append(time.monotonic() - began)
                while True:
                    _, data = connections[0].ask(get(f"/v1/recommendations?user_id={user}"))
                    if msgspec.json.decode(data[data.find(b"\r\n\r\n") + 4 :]).get("offset", 0) >= offset:
                        break
                lists_.append(time.monotonic() - began)
                time.sleep(0.02)
    finally:
        shop.stop()
        store_.close()
    return [
        Row(f"{what}, {rate:,.0f} events/s beside, {len(found)} probes: p50 · p99", text(found), wanted, "", COMMAND)
        for what, found, wanted in (
            ("event sent → acknowledged", taken, ""),
            ("event sent → its visitor's row in Redis", rows, "< 100 ms"),
            ("event sent → a list that has seen it", lists_, "< 200 ms"),
        )
    ]


def text(seconds: list[float]) -> str:
    """Return median and p99 in ms."""
    return f"{percentile(seconds, 0.5) * 1e3:.1f} · {percentile(seconds, 0.99) * 1e3:.1f} ms"


def main() -> None:
    """Run all parts, or those named."""
    parser: argparse.ArgumentParser = arguments(__doc__)
    parser.add_argument("--only", nargs="*", default=["ingest", "worker", "rows", "fresh", "lists"], help="parts")
    parser.add_argument("--events", type=int, default=200_000, help="in the log that a worker folds")
    parser.add_argument("--rate", type=float, default=500.0, help="events a second beside the probes of freshness")
    parser.add_argument("--profile", action="store_true", help="of the worker")
    o = parser.parse_args()
    bench = make(o.folder).copy(o.folder / "work-engines")
    folder = Path(tempfile.mkdtemp(prefix="nearline-engines-"))
    broker, store = Kafka(folder / "kafka"), Valkey(folder / "valkey")
    found: list[Row] = []
    try:
        broker.start()
        store.start()
        if "ingest" in o.only:
            found += ingest(bench, broker, o.repeats, o.seconds)
        if "worker" in o.only:
            found += folded(bench, broker, store, o.repeats, o.events, o.profile)
        if "rows" in o.only:
            found += read_rows(bench, store, o.repeats)
        if "fresh" in o.only:
            found += fresh(folder / "fresh", broker, store, max(o.seconds, 10.0), o.rate)
        if "lists" in o.only:
            found += listed(bench, broker, store, o.repeats, o.seconds)
    finally:
        store.kill()
        broker.kill()
        shutil.rmtree(folder, ignore_errors=True)
    show(found)


if __name__ == "__main__":
    main()
