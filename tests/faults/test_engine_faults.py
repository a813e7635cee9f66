"""Faults of engines under load: two servers and two workers on Kafka and Redis, each killed or hung in turn."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import count, pairwise

import pytest
from confluent_kafka import Producer

from engines.deployment import PARTITIONS, Deployment, ask, expected, held
from engines.kafka import Kafka
from engines.load import Load
from engines.valkey import Valkey, available

SLOT = 3.0
"""Seconds within which some list comes, whatever happens; a busy machine makes one in far less."""
BOUND = 14.0
"""Seconds within which an event is answered: what is under way when the log goes takes its whole time."""
_seeds = count(1)


@pytest.fixture(scope="module")
def shop(broker: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Everything runs; the store is this module's own, since it is killed."""
    if missing := available():
        pytest.skip(f"Valkey {missing}")
    folder = tmp_path_factory.mktemp("faults")
    store = Valkey(folder / "valkey")
    store.start()
    made = Deployment(folder, broker, store)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        store.kill()


def broker_killed(shop: Deployment) -> None:
    shop.broker.kill()
    time.sleep(2)
    shop.broker.start()


def store_killed(shop: Deployment) -> None:
    shop.store.kill()
    time.sleep(2)
    shop.store.start()


def store_hangs(shop: Deployment) -> None:
    shop.store.freeze()
    time.sleep(5)
    shop.store.thaw()


def network_slow(shop: Deployment) -> None:
    """Each answer of the store takes longer than any request waits for it."""
    shop.network.slow(0.2)
    time.sleep(5)
    shop.network.mend()


def network_cut(shop: Deployment) -> None:
    shop.network.cut()
    time.sleep(5)
    shop.network.mend()


def store_emptied(shop: Deployment) -> None:
    """As if another had taken its place that has nothing: all rows come again from the log."""
    shop.store.say("FLUSHALL")
    time.sleep(1)


def worker_killed(shop: Deployment) -> None:
    shop.workers[0].kill()
    time.sleep(1)
    shop.workers[0].start()


def server_killed(shop: Deployment) -> None:
    shop.servers[0].kill()
    time.sleep(1)
    shop.servers[0].start()


def poisoned(shop: Deployment) -> None:
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


FAULTS: tuple[Callable[[Deployment], None], ...] = (
    server_killed,
    worker_killed,
    store_killed,
    store_hangs,
    network_slow,
    network_cut,
    store_emptied,
    broker_killed,
    poisoned,
)


def caught_up(shop: Deployment, within: float = 60.0) -> None:
    """Wait until rows and servers have seen the whole log."""
    tenant = shop.tenant()
    log, store = tenant.log(read_only=True), tenant.user_rows(5.0)
    try:
        ends = {number: log.partition(number).end("user_events") for number in range(PARTITIONS)}
        until = time.monotonic() + within
        while (done := store.read([1], list(ends))[1]) != list(ends.values()):
            assert time.monotonic() < until, f"rows are at {done}, the log at {ends}\n{shop.said()}"
            time.sleep(0.1)
    finally:
        log.close()
        store.close()


def check_rows(shop: Deployment, acknowledged: set[str]) -> None:
    """What was acknowledged is in the log, and rows are those of one who reads it alone: nothing twice, nothing missing."""
    caught_up(shop)
    tenant = shop.tenant()
    log, store = tenant.log(read_only=True), tenant.user_rows(5.0)
    try:
        records = held(log)
        assert acknowledged <= {record.event_id for part in records for record in part}
        wanted = expected(tenant, records)
        assert len(wanted) > 100
        found = {row.visitor: row for row in store.read(list(wanted))[0]}
        assert [visitor for visitor, row in wanted.items() if found[visitor] != row] == []
    finally:
        log.close()
        store.close()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_nothing_is_lost_or_counted_twice_and_lists_keep_coming(shop: Deployment, fault: Callable[[Deployment], None]) -> None:
    ready: list[int] = []
    with Load(shop.ports, lists=50, events=200, seed=next(_seeds)) as load:
        time.sleep(1.5)
        began = time.monotonic()
        doing = threading.Thread(target=fault, args=(shop,))
        doing.start()
        while doing.is_alive():
            if fault is not server_killed:
                ready += [ask(port, "GET", path)[0] for port in shop.ports for path in ("/readyz", "/healthz")]
            doing.join(0.5)
        ended = time.monotonic()
        time.sleep(2)
    asked = load.asked
    assert [one for one in asked if one.status != 200] == []
    assert set(ready) <= {200}
    times = [began, *sorted(one.at + one.seconds for one in asked if began < one.at + one.seconds < ended), ended]
    assert max(later - earlier for earlier, later in pairwise(times)) < SLOT
    assert load.acknowledged
    assert load.slowest < BOUND, load.refused
    check_rows(shop, set(load.acknowledged))
    for server in range(2):
        assert shop.gauge(server, "nearline_rows_answer") == 1
        assert "nearline_component_errors_total{" not in ask(shop.ports[server], "GET", "/metrics")[1]
        assert (shop.gauge(server, "nearline_poison_messages_total") > 0) == (fault is poisoned)
    until = time.monotonic() + 20
    while any(shop.gauge(server, "nearline_log_answers") != 1 for server in range(2)):
        assert time.monotonic() < until, shop.said()
        time.sleep(0.2)
