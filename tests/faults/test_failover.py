"""A cluster's masters are killed under load: replicas take over, with all writes and without the last of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.deployment import Deployment
from engines.kafka import Kafka
from engines.load import Load
from engines.truth import compared
from engines.valkey import ValkeyCluster, available


@pytest.fixture
def shop(broker: Kafka, tmp_path: Path) -> Iterator[Deployment]:
    """Everything runs, on three masters with a replica each."""
    if missing := available():
        pytest.skip(f"Valkey {missing}")
    cluster = ValkeyCluster(tmp_path / "cluster", replicas=1)
    made = None
    try:
        cluster.start()
        made = Deployment(tmp_path, broker, cluster)
        made.start()
        yield made
    finally:
        if made is not None:
            made.stop()
        cluster.stop()


def test_replicas_take_over_and_what_they_lack_is_folded_again(shop: Deployment) -> None:
    cluster = shop.cluster
    with Load(shop.ports, lists=40, events=200, seed=1) as load:
        time.sleep(2)
        old = cluster.lose()
        time.sleep(1)
        old.start()
        cluster.settle()
        assert "the store lost rows" not in shop.said()
        old = cluster.lose(behind=2)
        time.sleep(2)
        # A server and a worker that start now find the cluster though a node is away.
        shop.servers[0].kill()
        shop.workers[0].kill()
        shop.servers[0].start()
        shop.workers[0].start()
        time.sleep(2)
    assert [one for one in load.asked if one.status != 200] == []
    found = compared(shop, set(load.acknowledged))
    assert found.behind == [], shop.said()
    assert found.lost == set()
    assert found.rows > 100
    assert found.differing == []
    assert "the store lost rows" in shop.said()
    assert [shop.gauge(server, "nearline_rows_answer") for server in range(2)] == [1, 1]
