"""A server says why an item is in a list, and why another one is not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from server_process import Server, items

SIZE = 5


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(
        tmp_path_factory.mktemp("explain"), {"BUDGET_TOTAL_MS": 2000, "BUDGET_CANDIDATES_MS": 1000, "BUDGET_RULES_MS": 500}
    )
    made.start()
    try:
        # i39 shares nothing with the others, and nobody looks at it.
        catalogue = [*items(39), {"item_id": "i39", "title": "Alone", "category": "apart", "brand": "none"}]
        assert made.ask("POST", "/v1/items", catalogue)[0] == 200
        trail = [("view", "i0"), ("view", "i5"), ("purchase", "i10")]
        events = [
            {"user_id": f"u{n}", "event_type": kind, "item_id": item} for n in range(6) for kind, item in trail[: 2 + n % 2]
        ]
        events += [{"user_id": "asker", "event_type": "purchase", "item_id": "i0"}]
        assert made.ask("POST", "/v1/events", events)[0] == 202
        yield made
    finally:
        made.end()


def explained(server: Server, item_id: str, **given: Any) -> Any:
    asked = urlencode({"user_id": "asker", "item_id": item_id, "page_size": SIZE, **given})
    status, found, _ = server.ask("GET", f"/v1/explain?{asked}")
    assert status == 200, found
    return found


def test_why_each_shown_item_is_there(server: Server) -> None:
    status, served, _ = server.ask("GET", f"/v1/recommendations?user_id=asker&page_size={SIZE}&locale=de-CH&explain=true")
    assert status == 200
    assert len(served["items"]) == SIZE
    reasons = {item["item_id"]: item["explanation"] for item in served["items"]}
    assert reasons["i5"]["reason"] == "Weil du Item 0 gekauft hast"
    for item in served["items"]:
        found = explained(server, item["item_id"], locale="de-CH")
        assert (found["verdict"], found["rank"]) == ("shown", item["rank"])
        assert found["explanation"] == item["explanation"]
        assert sum(item["explanation"]["retrieval_shares"].values()) == pytest.approx(1, abs=0.01)
        assert {one["source"] for one in found["retrieved_by"]} == set(item["explanation"]["retrieval_shares"])


def test_why_others_are_not(server: Server) -> None:
    bought = explained(server, "i0")
    assert (bought["verdict"], bought["filtered_by"]) == ("filtered", ["suppressed"])
    assert bought["retrieved_by"]
    alone = explained(server, "i39")
    assert alone["verdict"] == "not_retrieved"
    assert "retrieved_by" not in alone
    server.ask("DELETE", "/v1/items/i38")
    assert explained(server, "i38")["verdict"] == "withdrawn"
    behind = [explained(server, f"i{n}", page_size=1) for n in range(1, 38)]
    lost = [found for found in behind if found["verdict"] in ("outranked", "arranged")]
    assert lost
    for found in lost:
        assert found["final_rank"] > 1 or found["lost_at"]
        assert found["last_shown"]["rank"] == 1
        assert found["score"] + found["last_shown"]["gap"] == pytest.approx(found["last_shown"]["score"])
        assert found["needed"]
    status, problem, _ = server.ask("GET", "/v1/explain?user_id=asker&item_id=never-came")
    assert (status, problem["field"]) == (404, "item_id")


def test_a_page_s_item_is_apart_from_the_item_asked_about(server: Server) -> None:
    # A stranger has no history: what leads to i5 is the page.
    status, found, _ = server.ask("GET", "/v1/explain?session_id=new&item_id=i5&page_item_id=i0&context=item")
    assert status == 200
    assert "i0" in {one.get("source_item_id") for one in found["retrieved_by"]}


def test_the_command_says_the_same(server: Server) -> None:
    url = f"http://127.0.0.1:{server.port}"
    command = [sys.executable, "-m", "nearline.cli", "explain", "asker", "i0", "--url", url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "filtered" in said
    assert "suppressed" in said


def test_who_was_here_and_what_is_in_service(server: Server) -> None:
    _, users, _ = server.ask("GET", "/v1/users?limit=3")
    assert [user["user_id"] for user in users["users"]] == ["asker", "u5", "u4"]
    server.ask("DELETE", "/v1/users/u4")
    assert "u4" not in {user["user_id"] for user in server.ask("GET", "/v1/users")[1]["users"]}
    assert server.ask("GET", "/v1/releases")[1] == {"in_service": "", "releases": []}
    assert server.ask("GET", "/v1/application")[1]["name"] == "faults"
    assert server.ask("GET", "/v1/items/i5")[1]["title"] == "Item 5"


def test_the_page_can_be_turned_off(tmp_path: Path) -> None:
    off = Server(tmp_path / "off", {"SERVER_PAGE": "false"})
    off.start()
    try:
        assert off.ask("GET", "/")[0] == 404
        assert "/" not in off.ask("GET", "/openapi.json")[1]["paths"]
    finally:
        off.end()
