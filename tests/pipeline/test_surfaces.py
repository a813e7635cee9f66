"""Surfaces: which sources are asked where, with which quota, on a real engine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nearline.app.definition import App
from nearline.app.sections import CandidateLimits, Settings, Storage
from nearline.app.tenant import Tenant
from nearline.embedded.engine import Engine
from nearline.pipeline.quotas import quotas
from nearline.schema.event import Record
from nearline.schema.ids import visitor_key
from nearline.schema.item import Item
from nearline.schema.query import SURFACES, Query
from nearline.serving.metrics import Metrics
from nearline.sources.als import AlsSource
from nearline.sources.covisit import CovisitSource
from nearline.sources.trending import TrendingSource

PANS, SHOES = [f"pan-{n}" for n in range(12)], [f"shoe-{n}" for n in range(12)]


def asked(surface: str, settings: Mapping[str, Mapping[str, int]]) -> list[tuple[int, int, bool]]:
    sources = (AlsSource(quota=500), TrendingSource(quota=100), CovisitSource(quota=200))
    return [(quota.place, quota.most, quota.fills) for quota in quotas(sources, settings)[surface]]


def test_a_source_says_where_it_serves_and_the_settings_have_the_last_word() -> None:
    assert asked("homepage", {}) == [(0, 500, False), (1, 100, False), (2, 200, False)]
    assert asked("item", {}) == [(2, 200, False), (1, 100, True)]
    settings = {"item": {"als": 7, "trending": 0}, "homepage": {"covisit": 0}}
    assert asked("item", settings) == [(0, 7, False), (2, 200, False)]
    assert asked("homepage", settings) == [(0, 500, False), (1, 100, False)]
    assert asked("email", settings) == [(0, 500, False), (2, 200, False), (1, 100, True)]


def test_each_surface_asks_its_own_sources_and_is_never_short(tmp_path: Path) -> None:
    candidates = CandidateLimits(surfaces={"push": {"trending": 0, "covisit": 3}})
    tenant = Tenant(App(events=["view"]), Settings(storage=Storage(path=str(tmp_path)), candidates=candidates))

    async def story() -> None:
        engine = Engine(tenant, Metrics())
        await engine.open()
        try:
            await engine.put_items([Item(name, category="Pans") for name in PANS])
            await engine.put_items([Item(name, category="Shoes") for name in SHOES])
            engine.recommender.pipeline = engine._pipeline(None)  # with an index of what was just registered
            now = engine.clock.now()
            seen = [(f"u{u}", name) for u in range(3) for name in (PANS if u else SHOES)]
            await engine.add_events([Record("", "view", user, item, now, now) for user, item in seen])

            async def lists(surface: str, **more: Any) -> tuple[list[str], set[str]]:
                query = Query(visitor_key("u0", ""), now, "u0", surface=surface, limits=False, debug=True, **more)
                served = await engine.recommend(query)
                assert served.trace is not None
                found = {name for name, n in served.trace["sources"].items() if n}
                return [item.item_id for item in served.items], found

            # Whoever likes shoes and looks at a pan sees pans there; at home he sees what he likes.
            items, sources = await lists("item", item_id="pan-0", page_size=5)
            assert set(items) <= set(PANS) - {"pan-0"}
            assert sources == {"covisit", "next_item", "content"}
            _, sources = await lists("homepage")
            assert {"trending", "history", "covisit"} <= sources
            # The cart leads to others and is not in the list.
            items, sources = await lists("cart", cart=("pan-1", "pan-0"), page_size=5)
            assert set(items) <= set(PANS) - {"pan-0", "pan-1"}
            assert "history" not in sources
            # An item that leads nowhere: what trends fills the page.
            await engine.put_items([Item("odd")])
            items, sources = await lists("item", item_id="odd", page_size=20)
            assert (len(items), sources) == (20, {"trending"})
            # The settings' quotas.
            _, sources = await lists("push", page_size=50)
            assert "trending" not in sources
            counted = await engine.recommend(Query(visitor_key("u0", ""), now, surface="push", limits=False, debug=True))
            assert counted.trace is not None
            assert counted.trace["sources"]["covisit"] == 3
        finally:
            await engine.close()

    asyncio.run(story())


def test_every_surface_has_a_plan(tmp_path: Path) -> None:
    tenant = Tenant(App(events=["view"]), Settings(storage=Storage(path=str(tmp_path))))
    engine = Engine(tenant, Metrics())
    pipeline = engine._pipeline(None)
    assert set(pipeline.plans) == set(SURFACES)
    assert pipeline.plan(Query(1, 1, surface="of another version")) == pipeline.plans["homepage"]
    engine._log.close()
