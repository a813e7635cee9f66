"""Stream workers are killed again and again under load: rows are those of one reader of the log, and nothing is left behind."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines import faults
from engines.deployment import Deployment
from engines.kafka import Kafka
from engines.load import Load
from engines.traces import traces
from engines.truth import compared
from engines.valkey import Valkey, available

FULL = os.environ.get("FULL_TESTS") == "1"
KILLS = 50 if FULL else 5
SPARE = 20
"""Open files that four processes may have more than before: connections that a client keeps for as many as ask at once."""


@pytest.fixture
def shop(broker: Kafka, tmp_path: Path) -> Iterator[Deployment]:
    """Everything runs."""
    if missing := available():
        pytest.skip(f"Valkey {missing}")
    store = Valkey(tmp_path / "valkey")
    store.start()
    made = Deployment(tmp_path, broker, store)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        store.kill()


@pytest.mark.timeout(1800 if FULL else 280)
def test_workers_that_are_killed_leave_nothing_behind(shop: Deployment) -> None:
    def after(seed: int, fault: faults.Fault) -> None:
        with Load(shop.ports, lists=40, events=200, seed=seed) as load:
            time.sleep(2)
            fault(shop, 2)
        assert [one for one in load.asked if one.status != 200] == []
        found = compared(shop, set(load.acknowledged))
        assert (found.behind, found.lost, found.differing) == ([], set(), []), shop.said()
        assert found.rows > 100

    after(1, faults.nothing)
    before = traces(shop)
    after(2, faults.workers_killed(KILLS))
    until = time.monotonic() + 60
    while (now := traces(shop)).members != len(shop.workers) and time.monotonic() < until:
        time.sleep(0.5)
    assert (now.keys, now.members) == (now.wanted, before.members)
    assert now.keys >= before.keys == before.wanted
    assert now.files <= before.files + SPARE
