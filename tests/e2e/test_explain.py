"""A server says why an item is in a list, and why another one is not."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from server_process import APP, Server, items

from nearline.client import Client
from nearline.schema.event import TOPICS

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


def test_without_a_server_the_command_reads_the_data_and_writes_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {"SERVER_PORT": port, "SERVER_API_KEY": "k"}
    own = Server(tmp_path / "own", {**settings, "BUDGET_TOTAL_MS": 2000, "BUDGET_RULES_MS": 500})
    asked = ("explain", "asker", "i5", "--page-size", "5")
    assert "there is no data yet" in own.run(*asked, status=2)
    own.start()
    try:
        with Client(f"http://127.0.0.1:{port}", "k") as client:
            client.put_items(items(40))
            trail = [("view", "i0"), ("view", "i5")]
            for user, kind, item in [*((f"u{n}", *one) for n in range(6) for one in trail), ("asker", "purchase", "i0")]:
                client.event(kind, user_id=user, item_id=item)
            client.flush()
        online, beside = own.run(*asked), own.run(*asked, "--offline")
        assert f"asked the server at http://127.0.0.1:{port}" in online
        assert "asked no server; reading the data in" in beside
        other = Server(tmp_path / "other", settings, APP.replace("faults", "others"))
        elsewhere = other.run(*asked, status=2)
        assert "another application, faults, is served" in elsewhere
        assert "there is no data yet" in elsewhere
        own.kill()
        before = stored(own)
        killed = own.run(*asked)
        assert f"no server answers at http://127.0.0.1:{port}; reading the data in" in killed
        assert "there is no such item" in own.run("explain", "asker", "never-came", status=2)
        assert "page-size" in own.run("explain", "asker", "i5", "--page-size", "101", status=2)
        assert stored(own) == before
        own.start()
        own.stop()
        snapshot = own.run(*asked)
        for said in (online, beside, killed, snapshot):
            assert "shown" in said
            assert "Because you bought Item 0" in said
            assert [line for line in said.splitlines() if "covisit" in line] == [
                line for line in online.splitlines() if "covisit" in line
            ]
    finally:
        own.end()


def stored(server: Server) -> dict[str, object]:
    """Return what is in the data's folder; of the log, whose file SQLite tidies after a crash, how far it reaches."""
    found = (server.folder / "data").rglob("*")
    log = server.tenant().log(read_only=True)
    ends = {topic: log.end(topic) for topic in TOPICS}
    log.close()
    return ends | {str(path): path.read_bytes() for path in found if path.is_file() and "log.sqlite" not in path.name}


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
