"""The index of vectors is killed, hangs and loses all under a real server: lists go on without it, and it comes back."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from server_process import Server, items

from engines.servers import Breakable, serving
from nearline.stores import vectors

N, USERS = 60, 40
PATIENCE = 90.0
LATE = 4.0
"""Seconds, loosely: a list takes some milliseconds, and the three that find out some more."""
SETTINGS = {
    "TRAIN_EMBEDDINGS": 8,
    "TRAIN_EXAMPLES": 300,
    "RULES_EXPLORATION": 0,
    "SERVER_JOBS": "false",
    "BUDGET_BREAKER_SECONDS": 1,
}
# A search may take as long as half a list: on a busy machine no stall is to count as the index's.
BUDGET = {
    "BUDGET_TOTAL_MS": 2000,
    "BUDGET_CANDIDATES_MS": 1200,
    "BUDGET_FEATURES_MS": 300,
    "BUDGET_RANKING_MS": 200,
    "BUDGET_RULES_MS": 300,
}


def visits(server: Server) -> None:
    """Send items, and two weeks of visits in two groups of taste."""
    assert server.ask("POST", "/v1/items", items(N))[0] == 200
    now = int(time.time() * 1000)
    for day in range(14):
        batch = [
            {
                "user_id": f"u{u}",
                "item_id": f"i{(u % 2) * 30 + (u * 7 + day * 3 + step * (1 + u % 3)) % 30}",
                "event_type": "click" if step % 2 else "view",
                "timestamp": now - (14 - day) * 86_400_000 + u * 60_000 + step * 5_000,
            }
            for u in range(USERS)
            for step in range(6)
        ]
        assert server.ask("POST", "/v1/events", batch)[0] == 202


def asked(server: Server, user: str = "u3") -> dict[str, Any]:
    """Return a list, which is whole and comes in time."""
    began = time.monotonic()
    status, answer, _ = server.ask("GET", f"/v1/recommendations?user_id={user}&debug=true")
    assert (status, time.monotonic() - began < LATE, len(answer["items"])) == (200, True, 20), answer
    found: dict[str, Any] = answer
    return found


def until(server: Server, met: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    end = time.monotonic() + PATIENCE
    while not met(found := asked(server)):
        assert time.monotonic() < end, (found.get("missing"), found["trace"].get("errors"), found["trace"]["sources"])
        time.sleep(0.2)
    return found


def here(answer: dict[str, Any]) -> bool:
    return answer["trace"]["sources"]["als"] > 0 and "missing" not in answer


def gone(answer: dict[str, Any]) -> bool:
    return "source:als" in answer.get("missing", ()) and answer["trace"]["sources"]["als"] == 0


@pytest.mark.parametrize("server", serving(vectors, breaks=True), indirect=True)
def test_lists_go_on_without_the_index_and_are_those_of_memory_with_it(server: Breakable, tmp_path: Path) -> None:
    url = server.place()
    shop = Server(tmp_path, {**SETTINGS, **BUDGET, "STORAGE_VECTORS": url})
    try:
        shop.start()
        visits(shop)
        assert "vectors of als put into the index" in shop.run("train")
        until(shop, lambda answer: answer["model_version"] == "r000001")
        by_index = {f"u{n}": asked(shop, f"u{n}") for n in range(USERS)}
        assert all(here(answer) for answer in by_index.values()), [answer.get("missing") for answer in by_index.values()]
        shop.stop()
        # The same data, searched in memory: the same lists.
        shop.settings["NEARLINE_STORAGE_VECTORS"] = "memory:"
        shop.start()
        same = 0
        for user, answer in by_index.items():
            ids = {item["item_id"] for item in answer["items"]}
            same += len(ids & {item["item_id"] for item in asked(shop, user)["items"]})
        shop.stop()
        shop.settings["NEARLINE_STORAGE_VECTORS"] = url
        assert same >= 0.98 * 20 * USERS
        server.kill()
        shop.start()  # without it
        until(shop, gone)
        assert "lists are made without the sources that ask it" in shop.run("doctor", status=1)
        server.start()
        until(shop, here)
        server.freeze()
        until(shop, gone)
        for n in range(USERS):
            asked(shop, f"u{n}")
        server.thaw()
        until(shop, here)
        server.empty(url)  # as if another had taken its place, that has nothing
        until(shop, gone)
        until(shop, here)
        assert "vectors put into the index" in shop.output()
        shop.stop()
    finally:
        shop.end()
