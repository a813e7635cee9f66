"""The HTTP API of an engine in this process, in virtual time: for simulations and tests of the whole loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Coroutine, MutableMapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from nearline.app.tenant import Tenant
from nearline.embedded.engine import Engine
from nearline.schema.clock import Clock, VirtualClock
from nearline.serving.api import create_app
from nearline.sim.client import Answer

T = TypeVar("T")
_LONGEST = 120.0
"""Seconds that an answer may take before something is taken to be wrong."""


class _Stamp(msgspec.Struct):
    timestamp: int = 0


class _From(msgspec.Struct):
    served_from: str = ""


def at_time(tenant: Tenant, clock: Clock) -> Tenant:
    """Return the tenant with another clock; to be called before its clock was read."""
    tenant.__dict__["clock"] = clock
    return tenant


class InProcess:
    """Speaks the API to an engine without a socket; time goes on with what is posted.

    Args:
        engine: not yet opened; its loop is one of this object's own, on a thread.
        clock: the engine's.

    Attributes:
        degraded: how often lists were served from what.
    """

    retries = 0

    def __init__(self, engine: Engine, clock: VirtualClock) -> None:
        self.engine, self.clock = engine, clock
        self.api = create_app(engine, engine.metrics)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.degraded: Counter[str] = Counter()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run on the engine's loop and wait."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(_LONGEST)

    def tick(self, now: int) -> None:
        """Let it be `now` (ms UTC) at least."""
        self.clock.time = max(self.clock.time, now)

    def get(self, path: str) -> Answer:
        """Send a GET."""
        answer = self.do(self._ask("GET", path, b""))
        if path.startswith("/v1/recommendations") and answer.ok:
            self.degraded[msgspec.json.decode(answer.body, type=_From).served_from] += 1
        return answer

    def post(self, path: str, body: bytes) -> Answer:
        """Send JSON; the clock moves to the latest event."""
        if path == "/v1/events":
            self.tick(max((event.timestamp for event in msgspec.json.decode(body, type=list[_Stamp])), default=0))
        return self.do(self._ask("POST", path, body))

    def end(self) -> None:
        """Close the engine and the loop."""
        self.do(self.engine.close())
        self.do(self.loop.shutdown_default_executor())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def _ask(self, method: str, path: str, body: bytes) -> Answer:
        url, sent = urlsplit(path), list[MutableMapping[str, Any]]()
        scope = {
            "type": "http", "method": method, "path": url.path, "query_string": url.query.encode(),
            "headers": [(b"content-type", b"application/json")],
        }  # fmt: skip

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        began = time.perf_counter()
        await self.api(scope, receive, send)
        return Answer(sent[0]["status"], sent[1]["body"], time.perf_counter() - began)
