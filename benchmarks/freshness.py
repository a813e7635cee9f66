"""From an accepted event to a list that has seen its offset, while 500 lists/s are asked beside it.

A prober posts one event, and from its 202 on asks for lists until one's `offset` is at least the event's.
Load and prober are processes on the loader's core.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

import msgspec

from benchmarks.hiccups import hiccups
from benchmarks.loader import Connection, get, open_loop, post
from benchmarks.server import LOADER, SERVER, serving
from benchmarks.serving import lists, served_from
from benchmarks.table import Row, percentile, say, show, spread
from benchmarks.world import Bench, arguments, make

COMMAND = "python -m benchmarks.freshness"
RATE, GAP = 500.0, 0.02


def _load(pipe: Pipe, bench: Bench, port: int, rate: float, seconds: float) -> None:
    os.sched_setaffinity(0, {LOADER})
    load = open_loop(port, lists(bench), rate, seconds, warm=0.0, look=served_from)
    pipe.send((load.rate, percentile(load.latencies, 0.99) * 1e3, dict(load.words)))


Probes = tuple[list[float], list[float], list[float], int]
"""When each event was sent, accepted and seen (monotonic seconds); lists that had not seen it yet."""


def probe(bench: Bench, port: int, seconds: float, seed: int) -> Probes:
    """Post events one after the other, and after each ask until a list has seen it."""
    connection = Connection(port)
    sent, accepted, seen, early = [], [], [], 0
    until, n = time.monotonic() + seconds, seed * 1_000_003
    while time.monotonic() < until:
        user, item = bench.users[n % len(bench.users)], bench.items[n * 7 % len(bench.items)]
        context = {"session_id": f"s-{user}"}
        event = {"user_id": user, "event_type": "click", "item_id": item, "context": context}
        body = msgspec.json.encode(event)
        sent.append(time.monotonic())
        status, data = connection.ask(post("/v1/events", body))
        accepted.append(time.monotonic())
        if status != 202:
            raise SystemExit(f"an event was answered with {status}: {data[-300:]!r}")
        offset = msgspec.json.decode(data[data.find(b"\r\n\r\n") + 4 :])["offset"]
        while True:
            _, data = connection.ask(get(f"/v1/recommendations?user_id={user}"))
            if msgspec.json.decode(data[data.find(b"\r\n\r\n") + 4 :]).get("offset", 0) >= offset:
                break
            early += 1
        seen.append(time.monotonic())
        n += 1
        time.sleep(GAP)
    connection.sock.close()
    return sent, accepted, seen, early


def run(folder: Path, repeats: int, seconds: float, rate: float = RATE) -> list[Row]:
    """Measure the row."""
    bench = make(folder).copy(folder / "work-freshness")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {LOADER})
    context = multiprocessing.get_context("spawn")
    middle, tails, clean, posts = [], [], [], []
    seconds = max(seconds, 5.0)
    with serving(bench.folder) as server:
        probe(bench, server.port, 1.0, 0)
        for repeat in range(1, repeats + 1):
            ours, theirs = context.Pipe()
            beside = context.Process(target=_load, args=(theirs, bench, server.port, rate, seconds + 2.5))
            beside.start()
            time.sleep(1.5)
            with hiccups((SERVER, LOADER)) as found:
                sent, accepted, seen, early = probe(bench, server.port, seconds, repeat)
            asked, list_tail, words = ours.recv()
            beside.join()
            waits = [b - a for a, b in zip(accepted, seen, strict=True)]
            spared = found.spared(accepted, seen)
            middle.append(percentile(waits, 0.5) * 1e3)
            tails.append(percentile(waits, 0.99) * 1e3)
            clean.append(percentile([w for w, fine in zip(waits, spared, strict=True) if fine], 0.99) * 1e3)
            posts.append(percentile([b - a for a, b in zip(sent, seen, strict=True)], 0.99) * 1e3)
            say(
                f"{len(waits)} events: p50 {middle[-1]:.1f} ms, p99 {tails[-1]:.1f} ms raw, "
                f"{clean[-1]:.1f} ms without stalls ({found.text()}); from sending the event p99 "
                f"{posts[-1]:.1f} ms; {early} lists had not seen it; "
                f"beside it {asked:,.0f} lists/s, p99 {list_tail:.1f} ms, {words}"
            )
    os.sched_setaffinity(0, before)
    text = (
        f"p50 {spread(middle).text('.1f')}, p99 {spread(tails).text('.1f')} raw, "
        f"{spread(clean).text('.1f')} without stalls; from sending {spread(posts).median:.1f} ms"
    )
    what = f"event accepted → a list that has seen its offset, under {rate:,.0f} lists/s"
    return [Row(what, text, "p99 < 100 ms", "p99 < 50 ms", COMMAND)]


def main() -> None:
    """Run it alone."""
    parser = arguments(__doc__)
    parser.add_argument("--rate", type=float, default=RATE, help="lists a second beside it")
    o = parser.parse_args()
    show(run(o.folder, o.repeats, o.seconds, o.rate))


if __name__ == "__main__":
    main()
