"""Every public endpoint has a method in both clients, alike in both, and its answer is typed; asked of a real server."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest
from server_process import Server, items

from nearline.client import (
    ApiError,
    AsyncClient,
    AtLeast,
    Boost,
    Client,
    Condition,
    ListRequest,
    OutboxOptions,
    Rule,
)
from nearline.serving.openapi_routes import ROUTES

NO_METHOD = {
    "/healthz": "a probe, for what runs the server",
    "/readyz": "a probe, for what runs the server",
    "/metrics": "for Prometheus, and no JSON",
    "/openapi.json": "the description of all this",
    "/docs": "for people",
    "/": "for people",
    "/page/{name}": "for people",
}
OWN = {"event", "stats", "flush", "close", "request"}
"""Methods that are no endpoint, or that answer at once; `event` is `POST /v1/events`."""
PINNED = ["i7", "i8", "i9"]
NEW = Rule(action=AtLeast(3, 5, "New"), where=[Condition("item_id", "in", PINNED)])
RULE = Rule(action=Boost(3.0), where=[Condition("category", "is", "c1")])
CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any], Callable[[Any], bool]]] = [
    ("put_items", (items(30),), {}, lambda taken: taken.accepted == 30),
    ("put_item", ("a/b", {"title": "A / B", "category": "c1"}), {}, lambda item: item.item_id == "a/b"),
    ("change_item", ("a/b", {"price": 3}), {}, lambda item: (item.title, item.price) == ("A / B", 3.0)),
    ("item", ("a/b",), {}, lambda item: item.category == "c1"),
    ("delete_item", ("a/b",), {}, lambda nothing: nothing is None),
    ("put_list", ("front", ["i1", "i2"]), {}, lambda kept: kept.item_ids == ["i1", "i2"]),
    ("editorial_list", ("front",), {}, lambda kept: kept.name == "front"),
    ("lists", (), {}, lambda all_: [one.name for one in all_] == ["front"]),
    ("delete_list", ("front",), {}, lambda nothing: nothing is None),
    ("recommend", ("ann",), {"page_size": 3, "filter": ["category:is:c2"]}, lambda shown: len(shown.items) == 3),
    ("recommend_batch", ([ListRequest(user_id="ann", page_size=2, filter=("category:is:c2",)), ListRequest()],), {"log": False},
     lambda made: len(made.lists[0].list.items) == 2 and made.rejected[0].index == 1),
    ("page", ("home", "ann"), {"filter": ["category:in:c1|c2"]},
     lambda page: page.rows and {item.metadata["category"] for row in page.rows for item in row.items} <= {"c1", "c2"}),
    ("explain", ("i1", "ann"), {"page_size": 5}, lambda why: why.verdict and why.item_id == "i1"),
    ("similar", ("i1",), {"limit": 3}, lambda like: like.source_item == "i1"),
    ("trending", (), {"limit": 2}, lambda found: len(found.items) == 2),
    ("onboarding", (3,), {}, lambda offered: len(offered.items) == 3 and offered.categories[0].category),
    ("add_interests", ("new/one",), {"categories": ["c1"], "items": ["i2"]}, lambda taken: taken.accepted == 2),
    ("put_profile", ("new/one",), {"gender": "female", "location": "DE"}, lambda now: now.demographics["location"] == "DE"),
    ("change_profile", ("new/one",), {"gender": None}, lambda now: now.demographics == {"location": "DE"}),
    ("user", ("new/one",), {}, lambda known: {one["name"] for one in known["preferences"]["categories"]} == {"c1", "c2"}),
    ("users", (5,), {}, lambda users: "ann" in [user.user_id for user in users]),
    ("erase", ("new/one",), {}, lambda gone: gone.user_id == "new/one"),
    ("put_rule", ("more c1", RULE), {}, lambda rule: (rule.name, rule.action) == ("more c1", Boost(3.0))),
    ("rule", ("more c1",), {}, lambda shown: (shown.state, shown.origin) == ("in_force", "declared")),
    ("rules", (), {}, lambda all_: [one.rule.name for one in all_] == ["more c1"]),
    ("delete_rule", ("more c1",), {}, lambda nothing: nothing is None),
    ("preview_rule", (NEW, "ann"), {"page_size": 5},
     lambda found: {*PINNED} <= {place.item_id for place in found.after} and len(found.before) == 5),
    ("application", (), {}, lambda told: told.name == "faults" and len(told.pages) == 3),
    ("releases", (), {}, lambda all_: (all_.in_service, all_.releases) == ("", [])),
]  # fmt: skip
"""Every method, in an order in which each makes sense; twice in a row, for both clients."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("endpoints"), {"SERVER_API_KEY": "k", "BUDGET_TOTAL_MS": 3000})
    server.start()
    try:
        yield server
    finally:
        server.end()


class Seen(httpx.HTTPTransport):
    """The network, with a note of each request."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, str]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append((request.method, request.url.raw_path.decode().partition("?")[0]))
        return super().handle_request(request)


@asynccontextmanager
async def opened(server: Server, client: type[Client] | type[AsyncClient], seen: list[Any]) -> AsyncIterator[Any]:
    address, options = f"http://127.0.0.1:{server.port}", OutboxOptions(seconds=0.01)
    if client is AsyncClient:

        class SeenLater(httpx.AsyncHTTPTransport):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                seen.append((request.method, request.url.raw_path.decode().partition("?")[0]))
                return await super().handle_async_request(request)

        async with AsyncClient(address, "k", timeout=30, outbox=options, transport=SeenLater()) as later:
            yield later
    else:
        transport = Seen()
        transport.asked = seen
        with Client(address, "k", timeout=30, outbox=options, transport=transport) as now:
            yield now


async def awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_every_endpoint_has_a_method_and_its_answer_is_typed(server: Server, kind: type[Client] | type[AsyncClient]) -> None:
    seen: list[tuple[str, str]] = []

    async def run() -> None:
        async with opened(server, kind, seen) as client:
            await awaited(client.put_items(items(30)))
            for n in range(6):
                client.event("view", user_id="ann", item_id=f"i{n}")
            assert await awaited(client.flush())
            for name, arguments, given, right in CALLS:
                answer = await awaited(getattr(client, name)(*arguments, **given))
                assert right(answer), (name, answer)
                typed = answer[0] if isinstance(answer, list) else answer
                assert typed is None or name == "user" or isinstance(typed, msgspec.Struct), name
            with pytest.raises(ApiError, match=r"where\[0\]\.op"):
                await awaited(client.put_rule("wrong", Rule(action=Boost(2.0), where=[Condition("price", "under", 1)])))

    asyncio.run(run())
    wanted = {(route.method, route.path) for route in ROUTES if route.path not in NO_METHOD}
    patterns = {(method, path): re.compile(re.sub(r"\{\w+\}", "[^/]+", path)) for method, path in wanted}
    # Fixed paths first: a preview is no rule's name.
    order = sorted(wanted, key=lambda one: ("{" in one[1], one))
    found = set()
    for method, path in seen:
        found.add(next(one for one in order if one[0] == method and patterns[one].fullmatch(path)))
    assert found == wanted


def test_both_clients_have_the_same_methods() -> None:
    def public(kind: type) -> dict[str, Any]:
        return {
            name: inspect.signature(method).parameters
            for name, method in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_")
        }

    assert public(Client) == public(AsyncClient)
    assert public(Client).keys() - OWN == {name for name, *_ in CALLS}
    assert {route.path for route in ROUTES} > NO_METHOD.keys()
