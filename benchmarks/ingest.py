"""Events through HTTP, durable and folded, into a log that already holds many: in batches of 100, and singly.

An answer (202) comes after fsync and after the fold, so acknowledged events per second are both. The server
may use both cores; each event has an id of its own, so duplicates are looked for.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.loader import Connection, Make, closed_loop, get, post
from benchmarks.server import LOADER, Server, serving
from benchmarks.table import Row, percentile, say, show, spread
from benchmarks.world import Bench, arguments, make, tenant_in
from nearline.schema.clock import DAY
from nearline.schema.event import Record

COMMAND = "python -m benchmarks.ingest"
FULL, SHORT = 10_000_000, 200_000
BATCH, TEMPLATES, GROUP = 100, 256, 5_000
MARK = b"-@@@@@@@@-"
"""Ten bytes of each event's id, replaced by the number of its request."""


def fill(bench: Bench, events: int) -> None:
    """Append events to the log directly, ingested evenly over the 7 days before now."""
    tenant = tenant_in(bench.folder)
    log = tenant.log()
    rng = np.random.default_rng(3)
    now, began = tenant.clock.now(), time.monotonic()
    try:
        for first in range(0, events, GROUP):
            n = min(GROUP, events - first)
            users = rng.integers(len(bench.users), size=n).tolist()
            items = rng.integers(len(bench.items), size=n).tolist()
            times = (now - 7 * DAY + np.arange(first, first + n) * (7 * DAY) // events).tolist()
            log.append(
                {
                    "user_events": [
                        Record(
                            f"fill-{first + k:010d}", "click", bench.users[u], bench.items[i], t, t, f"s-{u}",
                            page="category", position=3, category="Home > Kitchen", brand="Orbel", price=19.5,
                            device="mobile",
                        )
                        for k, (u, i, t) in enumerate(zip(users, items, times, strict=True))
                    ]
                }
            )  # fmt: skip
            if first and first % 1_000_000 == 0:
                say(f"  {first:,} events in the log")
    finally:
        log.close()
    say(f"log filled with {events:,} events in {time.monotonic() - began:.0f} s")


def bodies(bench: Bench, batch: int, prefix: str) -> Make:
    """Return requests with `batch` events each, every event with its own id."""
    rng = np.random.default_rng(11)
    templates = []
    for number in range(TEMPLATES):
        events = []
        for place in range(batch):
            user = bench.users[int(rng.integers(len(bench.users)))]
            events.append(
                {
                    "user_id": user,
                    "event_type": ("click", "view", "view", "add_to_cart")[int(rng.integers(4))],
                    "item_id": bench.items[int(rng.integers(len(bench.items)))],
                    "event_id": f"{prefix}{MARK.decode()}{number:03d}-{place:03d}",
                    "context": {
                        "page": "category",
                        "position": 1 + place % 24,
                        "session_id": f"s-{user}",
                        "device": "mobile",
                    },
                    "event_value": {"dwell_ms": 12_000},
                }
            )
        templates.append(msgspec.json.encode(events if batch > 1 else events[0]))
    whole = [post("/v1/events", body) for body in templates]
    return lambda n: whole[n % TEMPLATES].replace(MARK, b"-%08d-" % n)


def counted(server: Server) -> float:
    """Return how many events the server has accepted, from its metrics."""
    connection = Connection(server.port)
    _, data = connection.ask(get("/metrics"))
    connection.sock.close()
    for line in data.decode().splitlines():
        if line.startswith("nearline_events_total") and 'outcome="accepted"' in line:
            return float(line.split()[-1])
    return 0.0


def run(folder: Path, repeats: int, seconds: float, events: int = SHORT) -> list[Row]:
    """Measure both rows."""
    bench = make(folder).copy(folder / "work-ingest")
    fill(bench, events)
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {LOADER})
    rows = []
    say("starting the server: it folds what the log holds")
    began = time.monotonic()
    with serving(bench.folder, everywhere, patience=600.0) as server:
        say(f"ready after {time.monotonic() - began:.0f} s, {server.memory()['VmRSS']:,.0f} MB")
        for what, batch, connections, wanted, hoped in (
            ("batches of 100", BATCH, 16, "50,000", "100,000"),
            ("single events, 64 connections", 1, 64, "5,000", "10,000"),
        ):
            rates, tails = [], []
            for repeat in range(repeats):
                before, cpu = counted(server), server.cpu()
                requests = bodies(bench, batch, f"{batch}-{repeat}")
                load = closed_loop(server.port, requests, connections, seconds)
                spent = server.cpu() - cpu
                busy, each = spent / (seconds + 1.0), spent / load.answered / batch * 1e6
                accepted = counted(server) - before
                rates.append(load.rate * batch)
                tails.append(percentile(load.latencies, 0.99) * 1e3)
                say(
                    f"{what}: {rates[-1]:,.0f} events/s, p99 {tails[-1]:.1f} ms, server uses {busy:.2f} "
                    f"cores, {each:.1f} µs of them per event, "
                    f"{dict(load.words)}, {accepted:,.0f} accepted with the warming up"
                )
                if set(load.words) != {"202"}:
                    say("WARNING: not every answer was 202")
            text = f"{spread(rates).text()}; p99 {spread(tails).median:.1f} ms"
            name = f"events/s through HTTP, {what}, durable and folded, {events:,} in the log"
            rows.append(Row(name, text, wanted, hoped, COMMAND + (" --full" if events == FULL else "")))
    os.sched_setaffinity(0, everywhere)
    return rows


def add_events(parser: argparse.ArgumentParser) -> None:
    """Add the option that both `run` and this program have."""
    parser.add_argument("--full", action="store_true", help=f"{FULL:,} events in the log, not {SHORT:,}")


def main() -> None:
    """Run it alone."""
    parser = arguments(__doc__)
    add_events(parser)
    o = parser.parse_args()
    show(run(o.folder, o.repeats, o.seconds, FULL if o.full else SHORT))


if __name__ == "__main__":
    main()
