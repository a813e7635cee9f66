"""Lists: recommendations, similar items, what trends."""

from __future__ import annotations

import msgspec

from nearline.schema.errors import NearlineError
from nearline.schema.event import DEVICES
from nearline.schema.ids import visitor_key
from nearline.schema.query import SURFACES, Query
from nearline.serving.asgi import Call, Reply, Table, json_reply
from nearline.serving.bodies import identifier
from nearline.serving.engine_port import EnginePort
from nearline.serving.params import Params
from nearline.serving.problems import not_found
from nearline.serving.replies import Similar, Trending

DEFAULT_SIZE, MOST_SIZE = 20, 100
RECOMMENDATIONS = frozenset(
    [
        "user_id",
        "session_id",
        "context",
        "page_size",
        "num_results",
        "exclude",
        "filter",
        "item_id",
        "device",
        "locale",
        "cart",
        "location",
        "debug",
        "explain",
        "after",
    ]
)
MEASURING = RECOMMENDATIONS | {"now", "rules"}
"""What the endpoint also has where `[evaluation] mode` is on."""
PAGE = RECOMMENDATIONS - {"context", "page_size", "num_results", "debug", "explain", "after"}
EXPLAIN = (RECOMMENDATIONS - {"after", "debug", "explain"}) | {"page_item_id"}
SIMILAR = frozenset(("user_id", "session_id", "limit", "diversity"))
TRENDING = frozenset(("limit", "category"))


class ListRoutes:
    """Asks the engine for lists."""

    def __init__(self, engine: EnginePort) -> None:
        self._engine = engine
        self._measuring = engine.settings.evaluation.mode
        self._kinds = engine.app.condition_kinds

    def table(self) -> Table:
        """Return the handlers."""
        return {
            "/v1/recommendations": {"GET": self.recommendations},
            "/v1/items/{item_id:path}/similar": {"GET": self.similar},
            "/v1/explain": {"GET": self.explain},
            "/v1/pages/{name}": {"GET": self.page},
            "/v1/trending": {"GET": self.trending},
        }

    async def recommendations(self, call: Call) -> Reply:
        """Answer with a list for a user or session."""
        known = MEASURING if self._measuring else RECOMMENDATIONS
        query, after = self._query(Params(call.scope["query_string"], known))
        served = await self._engine.recommend(query, after)
        return json_reply(served, request_id=served.request_id)

    async def page(self, call: Call) -> Reply:
        """Answer with a page of rows."""
        name = call.path["name"]
        page = self._engine.app.served_pages.get(name)
        if page is None:
            raise not_found("page", "name", name)
        query, _ = self._query(Params(call.scope["query_string"], PAGE))
        served = await self._engine.page(msgspec.structs.replace(query, surface=page.surface, page=name, rows=page))
        return json_reply(served, request_id=served.request_id)

    async def explain(self, call: Call) -> Reply:
        """Answer why an item is in the list that the same parameters get, or why not."""
        params = Params(call.scope["query_string"], EXPLAIN)
        item_id = params.text("item_id")
        if not item_id:
            raise NearlineError("item_id", "", "say which item is asked about; the page's own item is page_item_id")
        query, _ = self._query(params, "page_item_id")
        found = await self._engine.explain(query, item_id)
        if found is None:
            raise not_found("item", "item_id", item_id)
        return json_reply(found)

    async def similar(self, call: Call) -> Reply:
        """Answer with items similar to one."""
        item_id = identifier(call.path["item_id"], "item_id")
        params = Params(call.scope["query_string"], SIMILAR)
        user_id, session_id = params.text("user_id"), params.text("session_id")
        limit = params.whole("limit", DEFAULT_SIZE, 1, MOST_SIZE)
        diversity = params.share("diversity", 0.0)
        query = Query(
            visitor=visitor_key(user_id, session_id),
            now=self._engine.clock.now(),
            user_id=user_id,
            session_id=session_id,
            surface="item",
            page_size=limit,
            item_id=item_id,
        )
        found = await self._engine.similar(item_id, query, limit, diversity)
        if found is None:
            raise not_found("item", "item_id", item_id)
        return json_reply(Similar(item_id, found))

    async def trending(self, call: Call) -> Reply:
        """Answer with what trends, overall or in a category."""
        params = Params(call.scope["query_string"], TRENDING)
        limit = params.whole("limit", DEFAULT_SIZE, 1, MOST_SIZE)
        return json_reply(Trending(await self._engine.trending(limit, params.text("category"))))

    def _query(self, params: Params, item: str = "item_id") -> tuple[Query, str]:
        user_id, session_id = params.text("user_id"), params.text("session_id")
        if not user_id and not session_id:
            raise NearlineError("user_id", "", "say for whom: give user_id, or session_id for an anonymous visitor")
        if params.given("num_results"):
            if params.given("page_size"):
                raise NearlineError("num_results", params.text("num_results"), "it is page_size: give one of them")
            size = params.whole("num_results", DEFAULT_SIZE, 1, MOST_SIZE)
        else:
            size = params.whole("page_size", DEFAULT_SIZE, 1, MOST_SIZE)
        debug = params.flag("debug")
        now, measuring = self._engine.clock.now(), self._measuring
        query = Query(
            visitor=visitor_key(user_id, session_id),
            now=params.time("now", now) if measuring else now,
            user_id=user_id,
            session_id=session_id,
            surface=params.choice("context", SURFACES, "homepage"),
            page_size=size,
            item_id=params.text(item),
            exclude=params.ids("exclude"),
            filters=params.conditions("filter", self._kinds),
            cart=params.ids("cart"),
            location=params.text("location"),
            device=params.choice("device", DEVICES, ""),
            locale=params.locale("locale"),
            debug=debug,
            explain=params.flag("explain"),
            # A traced list is the one that would be logged, and leaves no impression all the same.
            log=not measuring,
            limits=not measuring,
            rules=params.flag("rules", True) if measuring else True,
        )
        return query, params.text("after")
