"""What is measured: a server in a process of its own, asked by HTTP, or an engine in this process."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import msgspec

from nearline.app.tenant import Tenant
from nearline.embedded.engine import Engine
from nearline.schema.clock import DAY
from nearline.schema.errors import NearlineError
from nearline.schema.ids import visitor_key
from nearline.schema.query import Query
from nearline.serving.metrics import Metrics
from nearline.serving.validate import EventValidator
from nearline.sim.client import Client

START = 300.0
"""Seconds that a server may take to restore its state."""
K = 10


@dataclass(frozen=True, slots=True)
class Listed:
    """One list: item ids, what it was served from, what was missing, seconds as the asker saw them."""

    items: tuple[str, ...]
    served_from: str
    missing: tuple[str, ...]
    seconds: float


class System(Protocol):
    """Something that takes events and gives lists."""

    through: str

    def send(self, body: bytes) -> int:
        """Take a JSON array of events, at most 1,000; return how many were accepted."""
        ...

    def ask(self, user_id: str, now: int, rules: bool) -> Listed:
        """Return a user's list of ten at `now` (ms UTC), the rules that arrange it on or off."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class _Item(msgspec.Struct):
    item_id: str


class _Answer(msgspec.Struct):
    """The part of a list's JSON that is measured."""

    items: list[_Item]
    served_from: str
    missing: tuple[str, ...] = ()


class _Taken(msgspec.Struct):
    accepted: int


class ApiSystem:
    """A real server, started for this and asked over one kept connection.

    Args:
        folder: with `app.py` and `nearline.toml`; the server's output goes to `server.log` there.

    Raises:
        NearlineError: it doesn't start; the end of its output is in the message.
    """

    through = "api"

    def __init__(self, folder: Path) -> None:
        self._log = folder / "server.log"
        command = [sys.executable, "-m", "nearline.cli", "serve", "--app", str(folder / "app.py")]
        # What the environment sets is in the file already, with what measuring needs put over it.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NEARLINE_")}
        with self._log.open("wb") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
        try:
            self._client = Client(self._url(), timeout=60.0)
        except BaseException:
            self._stop()
            raise
        self._answer = msgspec.json.Decoder(_Answer)
        self._taken = msgspec.json.Decoder(_Taken)

    def send(self, body: bytes) -> int:
        """Post events."""
        answer = self._client.post("/v1/events", body)
        if not answer.ok:
            raise NearlineError("POST /v1/events", answer.body.decode(errors="replace"), f"see {self._log}")
        return self._taken.decode(answer.body).accepted

    def ask(self, user_id: str, now: int, rules: bool) -> Listed:
        """Get a list."""
        asked = f"user_id={quote(user_id, safe='')}&page_size={K}&now={now}&rules={int(rules)}"
        answer = self._client.get(f"/v1/recommendations?{asked}")
        if not answer.ok:
            raise NearlineError("GET /v1/recommendations", answer.body.decode(errors="replace"), f"see {self._log}")
        served = self._answer.decode(answer.body)
        return Listed(tuple(item.item_id for item in served.items), served.served_from, served.missing, answer.seconds)

    def close(self) -> None:
        """Close the connection and end the server."""
        self._client.close()
        self._stop()

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _url(self) -> str:
        """Return where it listens, once it is ready."""
        until = time.monotonic() + START
        while time.monotonic() < until:
            text = self._log.read_text(encoding="utf-8", errors="replace")
            if self._process.poll() is not None:
                break
            if found := re.search(r"serving (http://\S+:\d+)\b", text):
                probe = Client(found[1], tries=20)
                ready = probe.get("/readyz").ok
                probe.close()
                if ready:
                    return found[1]
            time.sleep(0.05)
        raise NearlineError("server", self._log.read_text(errors="replace")[-1000:], f"it didn't start; see {self._log}")


class OfflineSystem:
    """The engine of a server in this process: its checks of events, writer and pipeline, without HTTP."""

    through = "offline"

    def __init__(self, tenant: Tenant) -> None:
        self._loop = asyncio.new_event_loop()
        self._engine = Engine(tenant, Metrics())
        self._do(self._engine.open())
        self._validator = EventValidator(tenant.app, self._engine.catalog, tenant.clock, 3650 * DAY)

    def send(self, body: bytes) -> int:
        """Check events, store and fold them."""
        batch = self._validator.validate(body)
        if batch.records:
            self._do(self._engine.add_events(batch.records))
        return len(batch.records)

    def ask(self, user_id: str, now: int, rules: bool) -> Listed:
        """Ask the engine."""
        query = Query(visitor_key(user_id, ""), now, user_id, page_size=K, limits=False, log=False, rules=rules)
        begun = time.perf_counter()
        served = self._do(self._engine.recommend(query))
        seconds = time.perf_counter() - begun
        return Listed(tuple(item.item_id for item in served.items), served.served_from, served.missing, seconds)

    def close(self) -> None:
        """Close the engine."""
        self._do(self._engine.close())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def _do(self, coroutine: Any) -> Any:
        return self._loop.run_until_complete(coroutine)
