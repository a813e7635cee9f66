"""Backup is a copy of one folder; SIGTERM drains; a restart replays only what no snapshot holds."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from server_process import Server, items

USERS = 12


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    made: list[Server] = []
    yield made
    for server in made:
        server.end()


def fill(server: Server) -> None:
    assert server.ask("POST", "/v1/items", items(50))[0] == 200
    now = int(time.time() * 1000)
    for user in range(USERS):
        batch = [
            {"user_id": f"u{user}", "item_id": f"i{(user * 3 + k * 2) % 50}", "event_type": "click",
             "event_id": f"e{user}-{k}", "timestamp": now - (20 - k) * 60_000}
            for k in range(15)
        ]  # fmt: skip
        assert server.ask("POST", "/v1/events", batch)[0] == 202


def lists(server: Server) -> dict[str, list[str]]:
    """Return everybody's list, made at full quality."""
    found = {}
    for user in range(USERS):
        for _ in range(20):
            _, served, _ = server.ask("GET", f"/v1/recommendations?user_id=u{user}&page_size=8")
            if not served.get("missing"):
                break
        assert served["served_from"] == "retrieval", served
        found[f"u{user}"] = [item["item_id"] for item in served["items"]]
    return found


def settled(server: Server) -> dict[str, list[str]]:
    """Return everybody's list once the indexes of the sources have followed the catalogue."""
    time.sleep(2.0)
    return lists(server)


def replayed(server: Server) -> int:
    return int(re.findall(r"([\d,]+) events replayed", server.output())[-1].replace(",", ""))


def test_a_copy_of_the_folder_serves_the_same_lists_elsewhere(tmp_path: Path, servers: list[Server]) -> None:
    here = Server(tmp_path / "here")
    servers.append(here)
    here.start()
    fill(here)
    said = here.run("maintain")
    assert "snapshot at" in said
    ours = settled(here)
    assert " MB in " in here.run("backup", str(tmp_path / "live" / "data"))
    assert here.stop() in (0, -15)
    shutil.copytree(here.folder / "data", tmp_path / "stopped" / "data")
    for name in ("live", "stopped"):
        there = Server(tmp_path / name)
        servers.append(there)
        there.start()
        assert replayed(there) == 0, "the snapshot was not used"
        assert lists(there) == ours
        # What the original had taken, the copy knows as taken.
        _, taken, _ = there.ask(
            "POST", "/v1/events", [{"user_id": "u0", "item_id": "i1", "event_type": "click", "event_id": "e0-1"}]
        )
        assert taken["offset"] == USERS * 15
        assert there.stop() in (0, -15)


def test_sigterm_answers_what_is_under_way_and_a_restart_resumes(tmp_path: Path, servers: list[Server]) -> None:
    server = Server(tmp_path)
    servers.append(server)
    server.start()
    fill(server)
    assert server.process is not None
    # A request of which half has arrived when the signal comes.
    body = json.dumps([{"user_id": "late", "item_id": "i7", "event_type": "click", "event_id": "late"}]).encode()
    head = b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    with socket.create_connection(("127.0.0.1", server.port), 30) as connection:
        connection.sendall(head + body[:10])
        time.sleep(0.3)
        server.process.terminate()
        time.sleep(0.5)
        assert server.process.poll() is None, "it did not wait for the request under way"
        connection.sendall(body[10:])
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert response.status == 202
        assert json.loads(response.read())["accepted"] == 1
    assert server.process.wait(20) in (0, -15)
    server.process = None
    # Killed at once after the start: the snapshot of the clean end is still there.
    server.start()
    assert replayed(server) == 0
    assert server.ask("GET", "/v1/users/late")[0] == 200
    assert server.ask("POST", "/v1/events", [{"user_id": "u1", "item_id": "i2", "event_type": "click"}] * 3)[0] == 202
    server.kill()
    server.start()
    assert replayed(server) == 3


def test_a_backup_under_load_has_no_hole(tmp_path: Path, servers: list[Server]) -> None:
    """Taken while events come in and the log is archived: every event that was acknowledged before is in the copy, once."""
    here = Server(tmp_path / "here")
    servers.append(here)
    here.start()
    fill(here)
    ended = threading.Event()
    sent: list[str] = []

    def write() -> None:
        while not ended.is_set():
            name = f"w{len(sent)}"
            event = {"user_id": name, "item_id": f"i{len(sent) % 50}", "event_type": "click", "event_id": name}
            assert here.ask("POST", "/v1/events", [event])[0] == 202
            sent.append(name)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        here.run("maintain")
        before = list(sent)
        here.run("backup", str(tmp_path / "there" / "data"))
    finally:
        ended.set()
        writer.join()
    assert before
    assert len(sent) > len(before), "nobody wrote meanwhile"
    there = Server(tmp_path / "there")
    servers.append(there)
    there.start()
    for name in before:
        status, user, _ = there.ask("GET", f"/v1/users/{name}")
        assert status == 200, name
        assert len(user["recent_views"]) == 1, name
    refused = here.run("backup", str(tmp_path / "there" / "data"), status=2)
    assert "name a new folder" in refused
