"""An engine without any recommending, to test the HTTP layer alone."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from nearline.app.attributes import Attribute
from nearline.app.definition import App
from nearline.app.sections import Server, Settings
from nearline.schema.clock import Clock, VirtualClock
from nearline.schema.declared import Declaration
from nearline.schema.event import Record
from nearline.schema.ids import key32
from nearline.schema.item import Item
from nearline.schema.query import Query
from nearline.schema.rules import Rule
from nearline.schema.served import Explanation, Served, ServedItem, ServedPage, ServedRow
from nearline.serving.engine_port import SimilarItem
from nearline.serving.onboarding import Onboarding, OnboardingItem
from nearline.serving.preview import PreviewPlace, RulePreview
from nearline.serving.replies import Releases
from nearline.serving.why import Why
from nearline.stores.catalog import Catalog
from nearline.stores.recent import RecentUser
from nearline.stores.state import MemoryState
from nearline.stores.world import OnlineWorld

NOW = 1_760_000_000_000


class Like(msgspec.Struct):
    item_id: str
    similarity_score: float
    similarity_type: str
    shared_attributes: list[str]


@dataclass
class FakeCatalog:
    items: dict[str, Item] = field(default_factory=dict)

    @property
    def names(self) -> dict[int, str]:
        return {key32(name): name for item in self.items.values() for name in (item.category, item.brand) if name}


class FakeEngine:
    def __init__(self, attributes: dict[str, Attribute] | None = None, **server: Any) -> None:
        names = ["view", "click", "purchase", "search", "rate"]
        self.app = App(events=names, attributes=attributes or {})
        self.settings = Settings(server=Server(**server))
        self.clock: Clock = VirtualClock(NOW)
        self.fake = FakeCatalog()
        self.catalog = cast(Catalog, self.fake)
        state = MemoryState([])
        self.world = OnlineWorld(state, Catalog(state), self.app.condition_kinds)
        self.declared, self.rules = self.world.declared, self.world.rules
        self.ready, self.behind = True, False
        self.failure: Exception | None = None
        self.records: list[Record] = []
        self.queries: list[tuple[Query, str]] = []
        self.users: set[str] = set()
        self.limits: list[tuple[object, ...]] = []
        self._requests = itertools.count(1)

    async def add_events(self, records: Sequence[Record]) -> int:
        self._fail()
        self.records += records
        self.users |= {record.user_id for record in records}
        return len(self.records)

    async def put_items(self, items: Sequence[Item]) -> int:
        self._fail()
        self.fake.items |= {item.item_id: item for item in items}
        return len(self.fake.items)

    async def declare(self, declaration: Declaration) -> int:
        self._fail()
        self.declared.put(declaration)
        return self.declared.version

    async def preview(self, rule: Rule, query: Query) -> RulePreview:
        self.queries.append((query, rule.name))
        served = await self.recommend(query)
        return RulePreview(True, 0, [], [PreviewPlace(item.item_id, "", item.rank, None) for item in served.items], [])

    async def delete_item(self, item_id: str) -> bool:
        return self.fake.items.pop(item_id, None) is not None

    async def erase_user(self, user_id: str) -> int:
        self.users.discard(user_id)
        return 7

    async def recommend(self, query: Query, after: str = "") -> Served:
        self._fail()
        self.queries.append((query, after))
        trace = {"sources": {"covisit": 1}} if query.debug else None
        return Served(f"r{next(self._requests)}", self._items(query.page_size), "none", "trending", trace=trace)

    async def explain(self, query: Query, item_id: str) -> Why | None:
        self.queries.append((query, item_id))
        known = item_id in self.fake.items
        return Why(item_id, "not_retrieved", "No source found it.", "A click.", "none", "trending", 0) if known else None

    async def releases(self) -> Releases:
        return Releases("", [])

    async def recent_users(self, limit: int) -> list[RecentUser]:
        return [RecentUser(user_id, NOW, 1) for user_id in sorted(self.users)][:limit]

    async def recommend_later(self, query: Query) -> Served:
        return await self.recommend(query)

    async def page(self, query: Query) -> ServedPage:
        self._fail()
        self.queries.append((query, ""))
        row = ServedRow("trending", "Trending now", "r0.1", self._items(12))
        return ServedPage("r0", query.page, [row], "none", "trending")

    async def similar(self, item_id: str, query: Query, limit: int, diversity: float) -> list[SimilarItem] | None:
        self.limits.append((limit, diversity, query.user_id))
        return [Like("b", 0.5, "co_visited", ["brand"])] if item_id in self.fake.items else None

    async def trending(self, limit: int, category: str = "") -> list[ServedItem]:
        self.limits.append((limit, category))
        return self._items(limit)

    async def user(self, user_id: str) -> dict[str, Any] | None:
        return {"recent_views": [], "last_updated": NOW} if user_id in self.users else None

    async def onboarding(self, n: int) -> Onboarding:
        items = [OnboardingItem(i.item_id, i.title, i.category, i.brand, i.image_url) for i in self.fake.items.values()]
        return Onboarding([], items[:n])

    def gauges(self) -> dict[str, float]:
        return {"nearline_catalog_items": float(len(self.fake.items)), "nearline_train_failures_total": 2.0}

    def _items(self, n: int) -> list[ServedItem]:
        why = Explanation("trending", "Trending now")
        fragments = [msgspec.Raw(msgspec.json.encode({"title": item.title})) for item in self.fake.items.values()]
        rows = enumerate(zip(self.fake.items, fragments, strict=True), 1)
        return [ServedItem(i, rank, 1 / rank, why, meta, "trending") for rank, (i, meta) in rows][:n]

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure
