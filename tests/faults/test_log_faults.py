"""The log can't be written: 503, nothing folded, nothing forgotten; then it goes on by itself. Too much waits: 429."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from server_process import Server, items

from nearline.app.definition import App
from nearline.app.sections import Server as ServerSettings
from nearline.app.sections import Settings, Storage
from nearline.app.tenant import Tenant
from nearline.embedded.engine import Engine
from nearline.schema.event import Record
from nearline.serving.metrics import Metrics
from nearline.serving.problems import ProblemError
from nearline.serving.routes_events import EventRoutes
from nearline.stores.history import iter_records


def events(first: int, n: int, padding: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "user_id": "u",
            "item_id": f"i{k % 20}",
            "event_type": "click",
            "event_id": f"e{k}",
            # Letters that do not repeat: nothing may make them smaller.
            "event_value": {"note": "".join(chr(97 + (k * 7919 + j * j * 31) % 26) for j in range(padding))},
        }
        for k in range(first, first + n)
    ]


def offsets(server: Server) -> dict[str, int]:
    """Return what the user's state has seen and what the log holds."""
    status, user, _ = server.ask("GET", "/v1/users/u")
    log = server.tenant().log(read_only=True)
    try:
        return {"state": user["offset"] + 1 if status == 200 else 0, "log": log.end("user_events")}
    finally:
        log.close()


def stored(server: Server) -> list[str]:
    tenant = server.tenant()
    log = tenant.log(read_only=True)
    try:
        return [r.event_id for _, records in iter_records(log, tenant.lake, "user_events") for r in records]
    finally:
        log.close()


def shown(server: Server) -> list[Record]:
    log = server.tenant().log(read_only=True)
    try:
        return log.read("feedback", 0, 10)[1]
    finally:
        log.close()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[list[Server]]:
    servers: list[Server] = []
    yield servers
    for server in servers:
        server.end()


def test_a_locked_log_refuses_and_recovers(tmp_path: Path, folder: list[Server]) -> None:
    server = Server(tmp_path)
    folder.append(server)
    server.start()
    assert server.ask("POST", "/v1/items", items(20))[0] == 200
    assert server.ask("POST", "/v1/events", events(0, 10))[0] == 202
    path = server.tenant().folder / "log.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for method, url, body in (
            ("POST", "/v1/events", events(10, 10)),
            ("PUT", "/v1/items/i99", {"title": "x"}),
            ("DELETE", "/v1/users/u", None),
        ):
            status, problem, headers = server.ask(method, url, body)
            assert status == 503, problem
            assert int(headers["retry-after"]) >= 1
        # Lists go on; their impressions are kept until the log takes them.
        status, served, _ = server.ask("GET", "/v1/recommendations?user_id=u&page_size=5")
        assert (status, len(served["items"])) == (200, 5)
        time.sleep(0.6)
        assert offsets(server) == {"state": 10, "log": 10}
        assert server.ask("GET", "/v1/items/i99/similar")[0] == 404
        other.execute("ROLLBACK")
    status, taken, _ = server.ask("POST", "/v1/events", events(5, 15))
    assert (status, taken["accepted"]) == (202, 15)
    assert offsets(server) == {"state": 20, "log": 20}
    assert stored(server) == [f"e{k}" for k in range(20)]
    until = time.monotonic() + 20
    while [r.request_id for r in shown(server)] != [served["request_id"]] and time.monotonic() < until:
        time.sleep(0.1)
    assert [r.request_id for r in shown(server)] == [served["request_id"]]


FULL = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, resource.RLIM_INFINITY))
"""
"""No file may grow beyond 1.5 MB: to SQLite, a disk that is full."""


def test_a_full_disk_refuses_and_loses_nothing(tmp_path: Path, folder: list[Server]) -> None:
    server = Server(tmp_path, prelude=FULL)
    folder.append(server)
    server.start()
    assert server.ask("POST", "/v1/items", items(20))[0] == 200
    done, status = 0, 202
    headers: Mapping[str, str] = {}
    while status == 202 and done < 4_000:
        status, _, headers = server.ask("POST", "/v1/events", events(done, 100, 2_000))
        done += 100 if status == 202 else 0
    assert status == 503, "the disk never filled"
    assert int(headers["retry-after"]) >= 1
    assert done > 0
    assert offsets(server) == {"state": done, "log": done}
    assert server.ask("POST", "/v1/events", events(done, 100, 2_000))[0] == 503
    assert server.ask("GET", "/v1/recommendations?user_id=u")[0] == 200
    # Space again: the same process takes the same events, once.
    import resource

    assert server.process is not None
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    until = time.monotonic() + 20
    status, taken, _ = server.ask("POST", "/v1/events", events(done - 100, 300, 2_000))
    while status == 503 and time.monotonic() < until:  # an impression that is tried again may be the first to hear of it
        status, taken, _ = server.ask("POST", "/v1/events", events(done - 100, 300, 2_000))
    assert (status, taken.get("accepted")) == (202, 300), taken
    assert offsets(server) == {"state": done + 200, "log": done + 200}
    assert stored(server) == [f"e{k}" for k in range(done + 200)]
    assert server.stop() in (0, -15)
    again = Server(tmp_path)
    folder.append(again)
    again.start()
    assert offsets(again) == {"state": done + 200, "log": done + 200}


def test_too_much_waiting_is_refused_until_it_is_written(tmp_path: Path) -> None:
    settings = Settings(storage=Storage(path=str(tmp_path)), server=ServerSettings(queue_events=1))

    class Body:
        def __init__(self, first: int) -> None:
            self.first = first

        async def json(self) -> bytes:
            import msgspec

            return msgspec.json.encode(events(self.first, 2))

    async def story() -> None:
        engine = Engine(Tenant(App(events=["click"]), settings), Metrics())
        await engine.open()
        routes = EventRoutes(engine, engine.metrics)
        with closing(sqlite3.connect(engine.tenant.folder / "log.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            waiting = asyncio.ensure_future(routes.post(Body(0)))  # type: ignore[arg-type]
            await asyncio.sleep(0.05)
            with pytest.raises(ProblemError) as refused:
                await routes.post(Body(2))  # type: ignore[arg-type]
            assert refused.value.status == 429
            assert (b"retry-after", b"1") in refused.value.headers
            other.execute("ROLLBACK")
        assert (await waiting).status == 202
        assert (await routes.post(Body(2))).status == 202  # type: ignore[arg-type]
        assert engine.world.offset == 4
        await engine.close()

    asyncio.run(story())
