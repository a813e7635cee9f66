"""Faults of engines under load: what is lost, counted twice, refused, late, and how long it takes until all is well again.

Two servers, two stream workers, a broker and a store of rows, all on this machine, and for a disk that is full one server with
its own log; clients ask for lists with one retry and send events until they are acknowledged. Each fault is done once, after a
quiet while.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.full_disk import Alone
from benchmarks.table import machine, percentile, say
from engines import faults
from engines.deployment import PARTITIONS, Deployment, ask
from engines.kafka import Kafka
from engines.load import Load
from engines.traces import traces
from engines.truth import compared
from engines.valkey import Valkey, ValkeyCluster

COMMAND = "python -m benchmarks.faults"
PATIENCE = 180.0
"""Seconds after which what has not recovered is said not to."""
HEADS = (
    "fault", "lost", "rows that differ", "lists unanswered · 5xx · retried · all", "their p50 · p99, ms",
    "slowest answer to events, s", "recovered after, s",
)  # fmt: skip
KILLS = "a stream worker killed {} times"


def on_one(kills: int) -> dict[str, faults.Fault]:
    """Return the faults of a deployment whose store is one server, by name."""
    return {
        "none": faults.nothing,
        "server killed, started again": faults.server_killed,
        "stream worker killed, started again": faults.worker_killed,
        KILLS.format(kills): faults.workers_killed(kills),
        "Redis killed, started again": faults.store_killed,
        "Redis hangs": faults.store_hangs,
        "network to Redis slow, 0.2 s each way": faults.network_slow,
        "network to Redis cut": faults.network_cut,
        "Redis emptied": faults.store_emptied,
        "messages nobody can read": faults.poisoned,
        "Kafka killed, started again": faults.broker_killed,
    }


ON_CLUSTER: dict[str, faults.Fault] = {
    "none, Redis Cluster": faults.nothing,
    "Redis Cluster: a master killed": faults.master_killed,
    f"Redis Cluster: a master killed, its replica {faults.BEHIND:.0f} s behind": faults.master_lost,
}
FULL = "disk full, embedded log"


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


def under(
    load: Load, name: str, act: Callable[[], None], recovered: Callable[[], float], judge: Callable[[set[str]], tuple[int, int]]
) -> None:
    """Do one fault under load, and print its line.

    Args:
        load: not begun.
        name: of the fault.
        act: does it, and returns once it is over.
        recovered: returns once all is well, with the seconds that took.
        judge: returns of acknowledged ids how many are lost, and how many rows differ from those of one reader of the log.
    """
    with load:
        time.sleep(5)
        began = time.monotonic()
        doing = threading.Thread(target=act)
        doing.start()
        doing.join()
        ended = time.monotonic()
        took = recovered()
        time.sleep(2)
    during = [one for one in load.asked if began <= one.at <= ended + took]
    lost, differing = judge(set(load.acknowledged))
    say(f"{name}: {ended - began:.1f} s, {len(load.asked)} lists, events refused {load.refused}")
    slow = sorted(during, key=lambda one: -one.seconds)[:12]
    say(f"  slowest lists, ms at s: {', '.join(f'{one.seconds * 1e3:.0f} at {one.at - began:.1f}' for one in slow)}")
    bad, errors = sum(one.status == 0 for one in during), sum(one.status >= 500 for one in during)
    retried, times = sum(one.tries > 1 for one in during), [one.seconds for one in during]
    lists = f"{bad} · {errors} · {retried:,} · {len(during):,}"
    late = f"{percentile(times, 0.5) * 1e3:,.0f} · {percentile(times, 0.99) * 1e3:,.0f}"
    line = [name, f"{lost} of {len(load.acknowledged):,}", str(differing), lists, late, f"{load.slowest:.1f}", f"{took:.1f}"]
    print(f"| {' | '.join(line)} |", flush=True)


def judged(shop: Deployment, acknowledged: set[str]) -> tuple[int, int]:
    """Return how many acknowledged events are not in the log, and how many rows differ from those of one reader of the log."""
    found = compared(shop, acknowledged, PATIENCE)
    if found.behind:
        say(f"partitions {found.behind} have not come to the end of the log")
    return len(found.lost), len(found.differing)


def on_engines(
    folder: Path, broker: Kafka, store: Valkey | ValkeyCluster, wanted: Mapping[str, faults.Fault], o: argparse.Namespace
) -> None:
    """Do faults to one deployment after the other."""
    shop = Deployment(folder, broker, store)
    try:
        shop.start()
        for seed, (name, fault) in enumerate(wanted.items(), 1):
            before = traces(shop) if name == KILLS.format(o.kills) else None

            def act(fault: faults.Fault = fault) -> None:
                fault(shop, o.seconds)

            load = Load(shop.ports, o.lists, o.events, seed, users=o.users)
            under(load, name, act, lambda: recovery(shop), lambda ids: judged(shop, ids))
            if before is not None:
                say(f"before: {before}\nafter:  {traces(shop)}")
    finally:
        shop.stop()


def main() -> None:
    """Do all faults in turn; print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="for which a fault lasts")
    parser.add_argument("--lists", type=float, default=100.0, help="a second")
    parser.add_argument("--events", type=float, default=500.0, help="a second")
    parser.add_argument("--users", type=int, default=5_000, help="who ask and act")
    parser.add_argument("--kills", type=int, default=50, help="of stream workers, in the line of many")
    parser.add_argument("--only", nargs="*", default=[], help="words of names of faults")
    o = parser.parse_args()
    logging.getLogger("nearline").setLevel(logging.ERROR)  # messages nobody can read are read here too
    chosen = [name for name in (*on_one(o.kills), *ON_CLUSTER, FULL) if not o.only or any(word in name for word in o.only)]
    folder = Path(tempfile.mkdtemp(prefix="nearline-faults-"))
    broker, one, cluster = Kafka(folder / "kafka"), Valkey(folder / "valkey"), ValkeyCluster(folder / "cluster", replicas=1)
    print(f"{machine()}; {o.lists:,.0f} lists/s, {o.events:,.0f} events/s, {o.users:,} users, faults of {o.seconds:.0f} s\n")
    print(f"| {' | '.join(HEADS)} |\n{'| --- ' * len(HEADS)}|", flush=True)
    stores: list[tuple[Valkey | ValkeyCluster, dict[str, faults.Fault]]] = [(one, on_one(o.kills)), (cluster, ON_CLUSTER)]
    try:
        for number, (store, known) in enumerate(stores):
            if wanted := {name: fault for name, fault in known.items() if name in chosen}:
                if not broker.runs:
                    broker.start()
                store.start()
                on_engines(folder / f"shop{number}", broker, store, wanted, o)
                store.stop()
        broker.stop()
        if FULL in chosen:
            with Alone(folder / "alone") as alone:
                load = Load([alone.port], o.lists, o.events, 99, users=o.users)
                under(load, FULL, lambda: alone.fill(o.seconds), alone.recovery, alone.judged)
    finally:
        cluster.stop()
        one.kill()
        broker.kill()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
