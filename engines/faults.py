"""What is done to a deployment: what is killed stays away for some seconds, what hangs hangs for as long."""

from __future__ import annotations

import time
from collections.abc import Callable

from confluent_kafka import Producer

from engines.deployment import PARTITIONS, Deployment

Fault = Callable[[Deployment, float], None]
BEHIND = 2.0
"""Seconds whose writes a replica lacks that takes over."""
PATIENCE = 120.0
"""Seconds in which the partitions of a killed worker must go on."""


def nothing(shop: Deployment, seconds: float) -> None:
    """Do nothing."""
    time.sleep(seconds)


def server_killed(shop: Deployment, seconds: float) -> None:
    """Kill a server; the other has all requests until it is back."""
    shop.servers[0].kill()
    time.sleep(seconds)
    shop.servers[0].start()


def worker_killed(shop: Deployment, seconds: float) -> None:
    """Kill a stream worker."""
    shop.workers[0].kill()
    time.sleep(seconds)
    shop.workers[0].start()


def workers_killed(times: int) -> Fault:
    """Return a fault that kills one worker after the other, each once the partitions of the last have gone on."""

    def kill(shop: Deployment, _: float) -> None:
        tenant = shop.tenant()
        log, store = tenant.log(read_only=True), tenant.user_rows(10.0)
        try:
            for turn in range(times):
                worker = shop.workers[turn % len(shop.workers)]
                worker.kill()
                worker.start()
                ends, until = (
                    [log.partition(number).end("user_events") for number in range(PARTITIONS)],
                    time.monotonic() + PATIENCE,
                )
                while any(done < end for done, end in zip(store.read([], range(PARTITIONS))[1], ends, strict=True)):
                    if time.monotonic() > until:
                        raise RuntimeError(f"after kill {turn + 1} partitions stand still\n{shop.said()}")
                    time.sleep(0.05)
        finally:
            log.close()
            store.close()

    return kill


def store_killed(shop: Deployment, seconds: float) -> None:
    """Kill the store; it comes back with what was synced to its disk."""
    shop.one.kill()
    time.sleep(seconds)
    shop.one.start()


def store_hangs(shop: Deployment, seconds: float) -> None:
    """Have the store hang (SIGSTOP)."""
    shop.one.freeze()
    time.sleep(seconds)
    shop.one.thaw()


def store_emptied(shop: Deployment, seconds: float) -> None:
    """As if another had taken its place that has nothing: all rows come again from the log."""
    shop.one.say("FLUSHALL")
    time.sleep(seconds)


def network_slow(shop: Deployment, seconds: float) -> None:
    """Each answer of the store takes longer than any request waits for it."""
    shop.network.slow(0.2)
    time.sleep(seconds)
    shop.network.mend()


def network_cut(shop: Deployment, seconds: float) -> None:
    """Nothing comes through between the store and all others."""
    shop.network.cut()
    time.sleep(seconds)
    shop.network.mend()


def master_killed(shop: Deployment, seconds: float) -> None:
    """Kill a master of the cluster; its replica takes over, and it comes back as a replica."""
    old = shop.cluster.lose()
    time.sleep(seconds)
    old.start()
    shop.cluster.settle()


def master_lost(shop: Deployment, seconds: float) -> None:
    """The same, and what takes over lacks the last writes."""
    old = shop.cluster.lose(BEHIND)
    time.sleep(seconds)
    old.start()
    shop.cluster.settle()


def broker_killed(shop: Deployment, seconds: float) -> None:
    """Kill the only broker."""
    shop.broker.kill()
    time.sleep(seconds)
    shop.broker.start()


def poisoned(shop: Deployment, seconds: float) -> None:
    """Others write to the topics what is no event, nor an item, or where it does not belong."""
    producer = Producer({"bootstrap.servers": shop.broker.url.removeprefix("kafka://")})
    for topic in ("user_events", "item_events", "feedback"):
        for number in range(1 if topic == "item_events" else PARTITIONS):
            for bad in (b"\xff\xfe no JSON", b"", b"[1, 2]", b'{"event_id": 5}', b'{"timestamp": 1e99}'):
                producer.produce(f"{shop.prefix}.default.{topic}", bad, partition=number)
    good = b'{"event_id": "x%d", "event_type": "click", "user_id": "u%d", "item_id": "i1", "timestamp": %d, "ingested_at": 5}'
    for number in range(PARTITIONS):
        for user in range(20):
            producer.produce(f"{shop.prefix}.default.user_events", good % (user, user, 10**30), partition=number)
            producer.produce(f"{shop.prefix}.default.user_events", good % (user, user, 1_790_000_000_000), partition=number)
    assert producer.flush(10) == 0
    time.sleep(seconds)
