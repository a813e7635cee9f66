"""One application file on every step of the ladder: the same events in, the same visitors and the same lists out."""

from __future__ import annotations

import random
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from engines.kafka import Kafka
from engines.postgresql import Postgresql
from engines.valkey import Valkey, ValkeyCluster

sys.path.append(str(Path(__file__).parents[1] / "faults"))
from server_process import Server

APP = """
from nearline import App, EventType, Suppression

app = App(
    name="shop",
    events=["seen", "view", "click", EventType("purchase", 8.0, "conversion", True, suppresses=(Suppression("item", 14),))],
)
"""
PARTITIONS, USERS, ITEMS, EVENTS = 3, 25, 60, 600
PATIENCE = 120.0


@pytest.fixture
def profiles(
    tmp_path: Path, broker: Kafka, redis_server: Valkey, redis_cluster: ValkeyCluster, postgresql_server: Postgresql
) -> Iterator[dict[str, Server]]:
    """A running server of each; only settings tell them apart. Stream workers run where rows are in a store."""
    database = postgresql_server.database()

    def kafka() -> dict[str, object]:
        return {"STORAGE_LOG": f"{broker.url}/{uuid.uuid4().hex[:8]}", "STORAGE_PARTITIONS": PARTITIONS}

    settings: dict[str, dict[str, object]] = {
        "sqlite, memory": {},
        "postgresql, memory": {"STORAGE_LOG": postgresql_server.database()},
        "postgresql, postgresql": {"STORAGE_LOG": database, "STORAGE_STATE": database},
        "kafka, memory": kafka(),
        "kafka, redis": {**kafka(), "STORAGE_STATE": redis_server.url},
        "kafka, redis+cluster": {**kafka(), "STORAGE_STATE": redis_cluster.url},
    }
    redis_server.say("FLUSHALL")
    for node in redis_cluster.nodes:
        node.say("FLUSHALL")
    servers = {name: Server(tmp_path / name.replace(", ", "-"), given, APP) for name, given in settings.items()}
    workers = []
    try:
        for name, server in servers.items():
            server.start()
            if "STORAGE_STATE" in settings[name]:
                workers.append(server.command("stream"))
        yield servers
    finally:
        for server in servers.values():
            server.end()
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait(60)


def items() -> list[dict[str, Any]]:
    return [
        {
            "item_id": f"i{k}",
            "title": f"Item {k}",
            "category": f"Aisle {k % 6} > Shelf {k % 12}",
            "brand": f"b{k % 5}",
            "price": 1 + k,
        }
        for k in range(ITEMS)
    ]


def events(now: int) -> list[dict[str, Any]]:
    """Return a few days of visits, the newest some minutes ago."""
    rng, times = random.Random(4), sorted(random.Random(5).randrange(3 * 86_400_000) for _ in range(EVENTS))
    return [
        {
            "event_id": f"e{place}",
            "user_id": f"u{rng.randrange(USERS)}",
            "event_type": rng.choices(("seen", "view", "click", "purchase"), (3, 4, 3, 1))[0],
            "item_id": f"i{int(rng.triangular(0, ITEMS, 5))}",
            "timestamp": now - 3 * 86_400_000 - 600_000 + at,
            "session_id": f"s{at // 86_400_000}",
            "context": {"page": "category", "position": 1 + place % 9},
        }
        for place, at in enumerate(times)
    ]


def told(server: Server, given: list[dict[str, Any]]) -> dict[str, int]:
    """Send events, some of them twice, and return up to where each visitor's list must have seen them."""
    ends: dict[str, int] = {}
    for begin in range(0, len(given), 50):
        for user in {event["user_id"] for event in given[begin : begin + 50]}:
            own = [event for event in given[begin : begin + 50] if event["user_id"] == user]
            for _ in range(1 + (begin % 100 == 0)):
                status, taken, _ = server.ask("POST", "/v1/events", {"events": own})
                assert status == 202, taken
                ends[user] = int(taken["offset"])
    return ends


def lists(server: Server, ends: dict[str, int]) -> dict[str, list[str]]:
    """Return each visitor's list once it has seen everything; debug lists do not explore."""
    out, until = {}, time.monotonic() + PATIENCE
    for user, end in ends.items():
        while True:
            status, served, _ = server.ask("GET", f"/v1/recommendations?user_id={user}&page_size=20&debug=true")
            assert status == 200, served
            if served.get("offset", 0) >= end:
                break
            assert time.monotonic() < until, f"{user}: {served.get('offset', 0)} of {end}\n{server.output()[-2000:]}"
            time.sleep(0.05)
        assert served["served_from"] == "retrieval", served  # nothing is trained yet; every source answered
        out[user] = [item["item_id"] for item in served["items"]]
    return out


def viewed(server: Server, user: str) -> dict[str, Any]:
    """Return what a server knows of a visitor; offsets count in partitions, which are not the same."""
    status, found, _ = server.ask("GET", f"/v1/users/{user}")
    assert status == 200, found
    return {name: value for name, value in found.items() if name != "offset"}


@pytest.mark.timeout(900)
def test_every_profile_serves_the_same(profiles: dict[str, Server]) -> None:
    given = events(int(time.time() * 1000))
    ends: dict[str, dict[str, int]] = {}
    for name, server in profiles.items():
        assert server.ask("POST", "/v1/items", items())[0] == 200
        ends[name] = told(server, given)
    for name, server in profiles.items():
        lists(server, ends[name])  # waits until they have seen everything
    views = {name: {user: viewed(server, user) for user in ends[name]} for name, server in profiles.items()}
    for name, own in views.items():
        assert own == views["sqlite, memory"], name
    # What trends is ordered beside the requests, so that near ties fall now so, now so: neighbours change places.
    until = time.monotonic() + PATIENCE
    while True:
        found = {name: lists(server, ends[name]) for name, server in profiles.items()}
        first = found["sqlite, memory"]
        shares = {name: alike(own, first) for name, own in found.items()}
        if min(shares.values()) > 0.97:
            break
        assert time.monotonic() < until, shares
        time.sleep(0.5)
    # Lists of different visitors are far from that.
    others = dict(zip(first, [*list(first.values())[1:], first[next(iter(first))]], strict=True))
    assert len(first) == USERS
    assert alike(others, first) < 0.3


def alike(some: dict[str, list[str]], others: dict[str, list[str]]) -> float:
    """Return the share of places whose item stands within two places of there in the other list."""
    return mean(item in others[user][max(place - 2, 0) : place + 3] for user in some for place, item in enumerate(some[user]))
