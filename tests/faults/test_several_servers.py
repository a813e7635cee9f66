"""Several servers on one shared log: what one is told, all of them know."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from registry import publish, version_of, wait_for
from server_process import Server, items

from engines.kafka import Kafka
from engines.valkey import Valkey

PARTITIONS = 3
BOUND = 30.0
"""Seconds within which all servers know what one was told, on a machine with other things to do."""


@pytest.fixture(params=["kafka memory", "kafka redis", "postgresql memory", "postgresql postgresql"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    """Two servers with folders of their own; only the log, and perhaps the rows of visitors, are shared."""
    log, state = request.param.split()
    settings: dict[str, object] = {}
    if log == "kafka":
        broker: Kafka = request.getfixturevalue("broker")
        settings |= {"STORAGE_LOG": f"{broker.url}/{uuid.uuid4().hex[:8]}", "STORAGE_PARTITIONS": PARTITIONS}
    else:
        settings["STORAGE_LOG"] = request.getfixturevalue("postgresql_server").database()
    if state == "redis":
        store: Valkey = request.getfixturevalue("redis_server")
        store.say("FLUSHALL")
        settings["STORAGE_STATE"] = store.url
    elif state == "postgresql":
        settings["STORAGE_STATE"] = settings["STORAGE_LOG"]
    worker = None
    servers = tuple(Server(tmp_path / name, settings) for name in ("one", "two"))
    if "STORAGE_STATE" in settings:
        worker = servers[0].command("stream")
    yield servers[0], servers[1]
    for server in servers:
        server.end()
    if worker is not None:
        worker.terminate()
        worker.wait(30)


def say(server: Server, events: list[dict[str, Any]]) -> int:
    status, taken, _ = server.ask("POST", "/v1/events", {"events": events})
    assert status == 202, taken
    assert taken["accepted"] == len(events)
    return int(taken["offset"])


def click(user: str, item: str, event_id: str) -> dict[str, Any]:
    return {"user_id": user, "event_type": "click", "item_id": item, "event_id": event_id}


def seen(server: Server, user: str, offset: int, within: float = BOUND) -> dict[str, Any]:
    """Return the user's list once it has seen an offset."""
    until = time.monotonic() + within
    while True:
        status, served, _ = server.ask("GET", f"/v1/recommendations?user_id={user}&page_size=10")
        assert status == 200
        if (found := served.get("offset", 0)) >= offset or time.monotonic() > until:
            assert found >= offset
            return dict(served)
        time.sleep(0.01)


def state(server: Server, user: str) -> dict[str, Any]:
    status, found, _ = server.ask("GET", f"/v1/users/{user}")
    assert status == 200
    return dict(found)


def test_what_was_bought_goes_though_no_worker_moves_rows(broker: Kafka, redis_server: Valkey, tmp_path: Path) -> None:
    redis_server.say("FLUSHALL")
    log = f"{broker.url}/{uuid.uuid4().hex[:8]}"
    settings = {"STORAGE_LOG": log, "STORAGE_PARTITIONS": PARTITIONS, "STORAGE_STATE": redis_server.url}
    pair = [Server(tmp_path / name, settings) for name in ("one", "two")]
    worker = None
    try:
        for server in pair:
            server.start()
        assert pair[0].ask("POST", "/v1/items", items(12))[0] == 200
        acts = [
            {"user_id": "ann", "event_type": kind, "item_id": item} for kind, item in (("purchase", "i3"), ("dislike", "i5"))
        ]
        end = say(pair[0], [*acts, *(click("ann", f"i{n}", f"c{n}") for n in range(12))])
        until = time.monotonic() + 30
        for server in pair:
            while True:
                _, served, _ = server.ask("GET", "/v1/recommendations?user_id=ann&page_size=20")
                shown = {item["item_id"] for item in served["items"]}
                if {"i3", "i5"}.isdisjoint(shown) and shown:
                    break
                assert time.monotonic() < until, served
                time.sleep(0.05)
            # His row is far behind, and says so.
            assert served.get("offset", 0) < end
        worker = pair[0].command("stream")
        assert {"i3", "i5"}.isdisjoint({item["item_id"] for item in seen(pair[1], "ann", end, 90)["items"]})
    finally:
        for server in pair:
            server.end()
        if worker is not None:
            worker.terminate()
            worker.wait(30)


def test_what_one_is_told_the_other_knows(pair: tuple[Server, Server]) -> None:
    one, two = pair
    one.start()
    two.start()
    assert one.ask("POST", "/v1/items", items(40))[0] == 200
    users = [f"u{k}" for k in range(12)]
    ends = {}
    for turn in range(3):
        for k, user in enumerate(users):
            server = pair[(k + turn) % 2]
            ends[user] = say(server, [click(user, f"i{(3 * k + turn) % 40}", f"{user}-{turn}")])
    for user in users:
        assert all(len(seen(server, user, ends[user])["items"]) == 10 for server in pair)
        assert state(one, user) == state(two, user)
    # All sources read the rows, wherever they are.
    failed = [line for line in one.text("/metrics")[1].splitlines() if line.startswith("nearline_component_errors_total")]
    assert failed == []
    # The same event told to both counts once.
    before = state(one, "u3")
    for server in pair:
        end = say(server, [click("u3", "i9", "u3-0")])
    for server in pair:
        seen(server, "u3", end)
    assert state(one, "u3")["recent_views"] == before["recent_views"]
    # One is killed and comes back to the same state, from the log alone.
    one.kill()
    later = say(two, [click("u5", "i39", "u5-later")])
    one.start()
    for server in pair:  # the one that was told reads it back from the log, too
        seen(server, "u5", later)
    assert [state(one, user) for user in users] == [state(two, user) for user in users]
    # It goes on over a stop (with a snapshot) as well.
    one.stop()
    later = say(two, [click("u5", "i38", "u5-latest")])
    one.start()
    assert "36 events replayed" not in one.output().splitlines()[-1]
    for server in pair:
        seen(server, "u5", later)
    assert state(one, "u5") == state(two, "u5")


def test_a_visitor_is_answered_the_same_wherever_he_asks(pair: tuple[Server, Server]) -> None:
    """What he did is in lists of both within the bound; from then on no server says less, and both make the same list."""
    for server in pair:
        server.start()
    assert pair[0].ask("POST", "/v1/items", items(40))[0] == 200
    end = -1
    for turn in range(20):
        told, other = pair[turn % 2], pair[1 - turn % 2]
        end = say(told, [click("ann", f"i{turn}", f"ann-{turn}")])
        lists = [seen(server, "ann", end, BOUND) for server in (other, told, other)]
        assert all(found["offset"] >= end for found in lists)
    # The log holds what was shown to him too, and each server follows it in its own time.
    until = time.monotonic() + BOUND
    while True:
        path = "/v1/recommendations?user_id=ann&page_size=10"
        shown = [[item["item_id"] for item in server.ask("GET", path)[1]["items"]] for server in pair]
        if shown[0] == shown[1]:
            break
        assert time.monotonic() < until, shown
        time.sleep(0.2)


def test_a_release_reaches_all(pair: tuple[Server, Server], tmp_path: Path) -> None:
    one, two = pair
    for server in pair:
        server.settings["NEARLINE_STORAGE_RELEASES"] = f"file://{tmp_path}/registry"
        server.start()
    assert one.ask("POST", "/v1/items", items(30))[0] == 200
    first = publish(one.tenant())
    for server in pair:
        wait_for(server, first)
    second = publish(two.tenant())
    for server in pair:
        wait_for(server, second)
    # Back again, said to one machine; a server that starts meanwhile has it at once.
    one.run("rollback", first)
    two.kill()
    two.start()
    assert version_of(two) == first
    wait_for(one, first)
