"""`POST /v1/events`."""

from __future__ import annotations

from nearline.serving.asgi import Call, Reply, Table, json_reply
from nearline.serving.engine_port import EnginePort
from nearline.serving.metrics import Metrics
from nearline.serving.problems import ProblemError
from nearline.serving.replies import EventsTaken
from nearline.serving.validate import EventValidator

FAR_AHEAD = 200 * 366 * 24 * 3600
"""Seconds; more than any time that is believed can be ahead."""


class EventRoutes:
    """Takes events in."""

    def __init__(self, engine: EnginePort, metrics: Metrics) -> None:
        self._engine, self._metrics = engine, metrics
        settings = engine.settings
        # Measuring walks through later history faster than the clock does.
        ahead = FAR_AHEAD if settings.evaluation.mode else settings.state.ahead_seconds
        self._validator = EventValidator(engine.app, engine.catalog, engine.clock, ahead)

    def table(self) -> Table:
        """Return the handlers."""
        return {"/v1/events": {"POST": self.post}}

    async def post(self, call: Call) -> Reply:
        """Take one event or a batch."""
        if self._engine.behind:
            raise ProblemError(429, "more events wait than server.queue_events allows", retry_after=1)
        batch = self._validator.validate(await call.json())
        if not batch.records:
            self._metrics.events(rejected=len(batch.rejected))
            raise ProblemError(422, "every event is wrong; see rejected", rejected=batch.rejected)
        offset = await self._engine.add_events(batch.records)
        self._metrics.events(len(batch.records), len(batch.rejected), unknown_item=batch.unknown_items)
        taken = EventsTaken(len(batch.records), batch.event_ids, batch.rejected, batch.unknown_items, offset)
        return json_reply(taken, 202)
