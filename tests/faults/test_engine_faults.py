"""Faults of engines under load: two servers and two workers on Kafka and Redis, each killed or hung in turn."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import count, pairwise

import pytest

from engines import faults
from engines.deployment import Deployment, ask
from engines.kafka import Kafka
from engines.load import Load
from engines.truth import compared
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


FAULTS: tuple[tuple[faults.Fault, float], ...] = (
    (faults.server_killed, 1.0),
    (faults.worker_killed, 1.0),
    (faults.store_killed, 2.0),
    (faults.store_hangs, 5.0),
    (faults.network_slow, 5.0),
    (faults.network_cut, 5.0),
    (faults.store_emptied, 1.0),
    (faults.broker_killed, 2.0),
    (faults.poisoned, 0.0),
)


def check_rows(shop: Deployment, acknowledged: set[str]) -> None:
    """What was acknowledged is in the log, and rows are those of one who reads it alone: nothing twice, nothing missing."""
    found = compared(shop, acknowledged)
    assert found.behind == [], shop.said()
    assert found.lost == set()
    assert found.rows > 100
    assert found.differing == []


@pytest.mark.parametrize(("fault", "seconds"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_nothing_is_lost_or_counted_twice_and_lists_keep_coming(shop: Deployment, fault: faults.Fault, seconds: float) -> None:
    ready: list[int] = []
    with Load(shop.ports, lists=50, events=200, seed=next(_seeds)) as load:
        time.sleep(1.5)
        began = time.monotonic()
        doing = threading.Thread(target=fault, args=(shop, seconds))
        doing.start()
        while doing.is_alive():
            if fault is not faults.server_killed:
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
        assert (shop.gauge(server, "nearline_poison_messages_total") > 0) == (fault is faults.poisoned)
    until = time.monotonic() + 20
    while any(shop.gauge(server, "nearline_log_answers") != 1 for server in range(2)):
        assert time.monotonic() < until, shop.said()
        time.sleep(0.2)
