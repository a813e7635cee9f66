"""Faults of engines under load: what is lost, counted twice, refused, late, and how long it takes until all is well again.

Two servers, two stream workers, a broker and a store of rows, all on this machine; clients ask for lists with one retry and
send events until they are acknowledged. Each fault is done once, after a quiet while.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.table import machine, percentile, say
from engines.deployment import PARTITIONS, Deployment, ask, expected, held
from engines.kafka import Kafka
from engines.load import Load
from engines.valkey import Valkey

COMMAND = "python -m benchmarks.faults"
PATIENCE = 180.0
"""Seconds after which what has not recovered is said not to."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a fault did. Times in seconds; `recovered`: from its end until new events are in rows and lists."""

    name: str
    lists: int
    bad: int
    retried: int
    p99: float
    slowest: float
    events: int
    lost: int
    differing: int
    recovered: float


def faults(seconds: float) -> dict[str, Callable[[Deployment], None]]:
    """Return the faults by name; what is killed stays away for so long, what hangs hangs for so long."""

    def away(kill: Callable[[], None], start: Callable[[], None]) -> None:
        kill()
        time.sleep(seconds)
        start()

    def emptied(shop: Deployment) -> None:
        shop.store.say("FLUSHALL")
        time.sleep(seconds)

    def slowed(shop: Deployment) -> None:
        shop.network.slow(0.2)
        time.sleep(seconds)
        shop.network.mend()

    return {
        "none": lambda shop: time.sleep(seconds),
        "server killed, started again": lambda shop: away(shop.servers[0].kill, shop.servers[0].start),
        "stream worker killed, started again": lambda shop: away(shop.workers[0].kill, shop.workers[0].start),
        "Redis killed, started again": lambda shop: away(shop.store.kill, shop.store.start),
        "Redis hangs": lambda shop: away(shop.store.freeze, shop.store.thaw),
        "network to Redis slow, 0.2 s each way": slowed,
        "network to Redis cut": lambda shop: away(shop.network.cut, shop.network.mend),
        "Redis emptied": emptied,
        "Kafka killed, started again": lambda shop: away(shop.broker.kill, shop.broker.start),
    }


def recovery(shop: Deployment) -> float:
    """Return the seconds until a new event of each partition is acknowledged, in the rows, and in a list of each server."""
    began, left = time.monotonic(), {f"probe{k}" for k in range(4 * PARTITIONS)}
    offsets: dict[str, int] = {}
    while left and time.monotonic() - began < PATIENCE:
        for user in sorted(left):
            try:
                if user not in offsets:
                    event = {"user_id": user, "event_type": "view", "item_id": "i1"}
                    status, said = ask(shop.ports[0], "POST", "/v1/events", event)
                    if status != 202:
                        continue
                    offsets[user] = said["offset"]
                path = f"/v1/recommendations?user_id={user}"
                if all(ask(port, "GET", path)[1].get("offset", 0) >= offsets[user] for port in shop.ports):
                    left.discard(user)
            except OSError:
                continue
    return time.monotonic() - began


def check(shop: Deployment, acknowledged: set[str]) -> tuple[int, int]:
    """Return how many acknowledged events are not in the log, and how many rows differ from those of one reader of the log."""
    tenant = shop.tenant()
    log, store = tenant.log(read_only=True), tenant.user_rows(10.0)
    try:
        ends = {number: log.partition(number).end("user_events") for number in range(PARTITIONS)}
        until = time.monotonic() + PATIENCE
        while store.read([1], list(ends))[1] != list(ends.values()) and time.monotonic() < until:
            time.sleep(0.1)
        records = held(log)
        wanted = expected(tenant, records)
        found = {row.visitor: row for row in store.read(list(wanted))[0]}
        there = {record.event_id for part in records for record in part}
        return len(acknowledged - there), sum(found[visitor] != row for visitor, row in wanted.items())
    finally:
        log.close()
        store.close()


def done_to(shop: Deployment, name: str, fault: Callable[[Deployment], None], o: argparse.Namespace, seed: int) -> Outcome:
    """Do one fault under load."""
    with Load(shop.ports, o.lists, o.events, seed, users=5_000) as load:
        time.sleep(5)
        began = time.monotonic()
        doing = threading.Thread(target=fault, args=(shop,))
        doing.start()
        doing.join()
        ended = time.monotonic()
        recovered = recovery(shop)
        time.sleep(2)
    during = [one for one in load.asked if began <= one.at <= ended + recovered]
    lost, differing = check(shop, set(load.acknowledged))
    say(f"{name}: {ended - began:.1f} s, {len(load.asked)} lists, events refused {load.refused}")
    bad, retried = sum(one.status != 200 for one in load.asked), sum(one.tries > 1 for one in load.asked)
    p99 = percentile([one.seconds for one in during], 0.99)
    return Outcome(
        name, len(during), bad, retried, p99, load.slowest, len(load.acknowledged), lost, differing, recovered
    )  # fmt: skip


def main() -> None:
    """Do all faults in turn; print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="for which a fault lasts")
    parser.add_argument("--lists", type=float, default=100.0, help="a second")
    parser.add_argument("--events", type=float, default=500.0, help="a second")
    parser.add_argument("--only", nargs="*", default=[], help="words of names of faults")
    o = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="nearline-faults-"))
    broker, store = Kafka(folder / "kafka"), Valkey(folder / "valkey")
    broker.start()
    store.start()
    shop = Deployment(folder, broker, store)
    print(f"{machine()}; {o.lists:,.0f} lists/s, {o.events:,.0f} events/s\n")
    heads = ["fault", "lost", "rows that differ", "lists unanswered · retried · all", "their p99, ms"]
    heads += ["slowest answer to events, s", "recovered after, s"]
    print(f"| {' | '.join(heads)} |\n{'| --- ' * len(heads)}|", flush=True)
    try:
        shop.start()
        for seed, (name, fault) in enumerate(faults(o.seconds).items(), 1):
            if o.only and not any(word in name for word in o.only):
                continue
            a = done_to(shop, name, fault, o, seed)
            lists = f"{a.bad} · {a.retried} · {a.lists:,} | {a.p99 * 1e3:,.0f}"
            lost = f"{a.lost} of {a.events:,} | {a.differing}"
            print(f"| {a.name} | {lost} | {lists} | {a.slowest:.1f} | {a.recovered:.1f} |", flush=True)
    finally:
        shop.stop()
        store.kill()
        broker.kill()


if __name__ == "__main__":
    main()
