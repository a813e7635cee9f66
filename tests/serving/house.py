"""A real engine behind the HTTP layer, asked without a network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from nearline.app.definition import App
from nearline.app.sections import Budget, Settings, Storage
from nearline.app.tenant import Tenant
from nearline.embedded.engine import Engine
from nearline.serving.api import create_app
from nearline.serving.metrics import Metrics

PATIENT = Budget(total_ms=4000, candidates_ms=1000, features_ms=1000, ranking_ms=1000, rules_ms=1000)


class House:
    """One engine and a client of it."""

    def __init__(self, engine: Engine, client: httpx.AsyncClient) -> None:
        self.engine, self.client = engine, client

    async def ask(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        response = await self.client.request(method, path, **more)
        assert response.status_code == status, response.text
        return response.json() if response.content else None

    async def post(self, path: str, body: Any, status: int = 200) -> Any:
        return await self.ask("POST", path, status, json=body)

    def renew(self) -> None:
        """Index what was registered, as a second later."""
        self.engine.recommender.pipeline = self.engine._pipeline(self.engine.release)


@asynccontextmanager
async def opened(app: App, folder: Path) -> AsyncIterator[House]:
    metrics = Metrics()
    engine = Engine(Tenant(app, Settings(storage=Storage(path=str(folder)), budget=PATIENT)), metrics)
    await engine.open()
    transport = httpx.ASGITransport(app=create_app(engine, metrics), raise_app_exceptions=True)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
            yield House(engine, client)
    finally:
        await engine.close()


def told(app: App, folder: Path, *stories: Callable[[House], Awaitable[None]]) -> None:
    """Run stories one after another, with a restart between them."""

    async def all_of_them() -> None:
        for story in stories:
            async with opened(app, folder) as house:
                await story(house)

    asyncio.run(all_of_them())
