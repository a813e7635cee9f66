"""What operators ask: health, readiness, metrics, the API's description."""

from __future__ import annotations

import msgspec

from nearline.serving.asgi import JSON, Call, Reply, Table, json_reply
from nearline.serving.docs_page import page
from nearline.serving.engine_port import EnginePort
from nearline.serving.metrics import Metrics
from nearline.serving.openapi import document
from nearline.serving.problems import ProblemError
from nearline.serving.replies import Health

_NO_SCRIPTS = (
    b"content-security-policy",
    b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
)


class OpsRoutes:
    """Answers about the server itself."""

    def __init__(self, engine: EnginePort, metrics: Metrics) -> None:
        self._engine, self._metrics = engine, metrics
        described = document(engine.app, engine.settings)
        self._document = msgspec.json.encode(described)
        self._page = page(described).encode()

    def table(self) -> Table:
        """Return the handlers."""
        return {
            "/healthz": {"GET": self.health},
            "/readyz": {"GET": self.readiness},
            "/metrics": {"GET": self.metrics},
            "/openapi.json": {"GET": self.openapi},
            "/docs": {"GET": self.docs},
        }

    async def health(self, _call: Call) -> Reply:
        """Answer while the process lives."""
        return json_reply(Health("ok"))

    async def readiness(self, _call: Call) -> Reply:
        """Answer once state is restored and kernels are compiled."""
        if not self._engine.ready:
            raise ProblemError(503, "state is being restored", retry_after=1)
        return json_reply(Health("ready"))

    async def metrics(self, _call: Call) -> Reply:
        """Answer in the text format of Prometheus."""
        text = self._metrics.render(self._engine.gauges())
        return Reply(200, text, (b"content-type", b"text/plain; version=0.0.4; charset=utf-8"))

    async def openapi(self, _call: Call) -> Reply:
        """Answer with the OpenAPI document."""
        return Reply(200, self._document, JSON)

    async def docs(self, _call: Call) -> Reply:
        """Answer with the same as a page."""
        return Reply(200, self._page, (b"content-type", b"text/html; charset=utf-8"), _NO_SCRIPTS)
