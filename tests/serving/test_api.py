from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from fake_engine import NOW, FakeEngine

from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.schema.item import Item
from nearline.schema.served import SERVED_FROM
from nearline.serving.api import Api, create_app
from nearline.serving.logs import REQUEST_ID, configure_logs
from nearline.serving.metrics import METRICS, Metrics

DOCS = Path(__file__).parents[2] / "docs" / "reference"
CLICK = {"event_type": "click", "user_id": "u", "item_id": "a"}


class Client:
    """Asks an application without a socket."""

    def __init__(self, engine: FakeEngine, metrics: Metrics | None = None) -> None:
        self.transport = httpx.ASGITransport(create_app(engine, metrics))

    def __call__(self, method: str, path: str, **given: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=self.transport, base_url="http://t") as client:
                return await client.request(method, path, **given)

        return asyncio.run(ask())


def asked(engine: FakeEngine, method: str, path: str, **given: Any) -> httpx.Response:
    return Client(engine)(method, path, **given)


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["request_id"] == response.headers["x-request-id"]
    return body


@pytest.fixture
def engine() -> FakeEngine:
    made = FakeEngine()
    made.fake.items |= {name: Item(name, f"Item {name}") for name in ("a", "b", "c/d")}
    return made


def test_events(engine: FakeEngine) -> None:
    response = asked(engine, "POST", "/v1/events", json=[CLICK, {**CLICK, "event_type": "clik"}, {**CLICK, "item_id": "z"}])
    assert response.status_code == 202
    body = response.json()
    ids = body["event_ids"]
    assert body["accepted"] == 2
    assert body["offset"] == 2
    assert body["unknown_items"] == 1
    assert ids == [engine.records[0].event_id, None, engine.records[1].event_id]
    (rejected,) = body["rejected"]
    assert rejected["index"] == 1
    assert (rejected["field"], rejected["value"]) == ("event_type", "clik")
    assert '"click"' in rejected["remedy"]
    assert asked(engine, "POST", "/v1/events", json=CLICK).json()["accepted"] == 1


def test_events_refused(engine: FakeEngine) -> None:
    bad = problem(asked(engine, "POST", "/v1/events", json=[{**CLICK, "event_type": "x"}] * 2), 422)
    assert [one["index"] for one in bad["rejected"]] == [0, 1]
    json_type = {"content-type": "application/json; charset=utf-8"}
    problem(asked(engine, "POST", "/v1/events", content=b"{", headers=json_type), 400)
    problem(asked(engine, "POST", "/v1/events", content=b"[]", headers={"content-type": "text/plain"}), 415)
    problem(asked(engine, "POST", "/v1/events", content=b"[]"), 415)
    small = FakeEngine(max_body_bytes=1000)
    large = problem(asked(small, "POST", "/v1/events", json=[CLICK] * 100), 413)
    assert "max_body_bytes" in large["remedy"]
    assert not engine.records
    engine.behind = True
    response = asked(engine, "POST", "/v1/events", json=CLICK)
    problem(response, 429)
    assert response.headers["retry-after"] == "1"
    engine.behind, engine.failure = False, StoreUnavailableError("the disk is full", 2.5)
    response = asked(engine, "POST", "/v1/events", json=CLICK)
    assert problem(response, 503)["detail"] == "the disk is full"
    assert response.headers["retry-after"] == "3"


def test_recommendations(engine: FakeEngine) -> None:
    path = (
        "/v1/recommendations?user_id=u%20x&context=cart&num_results=2&exclude=p,q&exclude=r&item_id=a&session_id=s"
        "&device=mobile&locale=pt-BR&debug=true&after=r0&cart=x,y&location=NO"
    )
    response = asked(engine, "GET", path)
    body = response.json()
    assert response.status_code == 200
    assert response.headers["x-request-id"] == body["request_id"] == "r1"
    assert [item["item_id"] for item in body["items"]] == ["a", "b"]
    assert body["items"][0]["metadata"] == {"title": "Item a"}
    assert body["served_from"] in SERVED_FROM
    assert body["trace"]
    query, after = engine.queries[0]
    assert after == "r0"
    assert (query.user_id, query.session_id, query.surface, query.page_size) == ("u x", "s", "cart", 2)
    assert (query.exclude, query.item_id, query.device, query.locale) == (
        ("p", "q", "r"),
        "a",
        "mobile",
        "pt-BR",
    )
    assert (query.cart, query.location) == (("x", "y"), "NO")
    assert (query.debug, query.log, query.now) == (True, True, NOW)
    plain = asked(engine, "GET", "/v1/recommendations?session_id=s", headers={"X-Request-Id": "mine"})
    assert plain.headers["x-request-id"] == "mine"
    query, _ = engine.queries[1]
    assert (query.surface, query.page_size, query.log, query.debug) == ("homepage", 20, True, False)


@pytest.mark.parametrize(
    ("query", "field", "value", "remedy"),
    [
        ("", "user_id", "", "session_id"),
        ("user_id=u&page_siz=3", "page_siz", "3", 'did you mean "page_size"?'),
        ("user_id=u&page_size=0", "page_size", "0", "from 1 to 100"),
        ("user_id=u&page_size=101", "page_size", "101", "from 1 to 100"),
        ("user_id=u&page_size=", "page_size", "", "from 1 to 100"),
        ("user_id=u&page_size=ten", "page_size", "ten", "from 1 to 100"),
        ("user_id=u&page_size=%D9%A3", "page_size", "٣", "from 1 to 100"),
        ("user_id=u&page_size=3&num_results=3", "num_results", "3", "one of them"),
        ("user_id=u&user_id=v", "user_id", "v", "once"),
        ("user_id=a%00", "user_id", "a\0", "NUL"),
        ("user_id=" + "x" * 257, "user_id", "x" * 197 + "...", "256"),
        ("user_id=%FF", "query", None, "UTF-8"),
        ("user_id=u&context=home", "context", "home", "homepage"),
        ("user_id=u&device=fridge", "device", "fridge", "desktop"),
        ("user_id=u&locale=!", "locale", "!", "language tag"),
        ("user_id=u&debug=maybe", "debug", "maybe", "true or false"),
        ("user_id=u&exclude=" + ",".join("x" * 1001), "exclude", "1001 of them", "at most 1,000"),
    ],
)
def test_bad_parameters(engine: FakeEngine, query: str, field: str, value: str | None, remedy: str) -> None:
    body = problem(asked(engine, "GET", f"/v1/recommendations?{query}"), 422)
    assert body["field"] == field
    assert value is None or body["value"] == value
    assert remedy in body["remedy"]
    assert not engine.queries


def test_similar_and_trending(engine: FakeEngine) -> None:
    body = asked(engine, "GET", "/v1/items/c%2Fd/similar?limit=3&diversity=0.5&user_id=u").json()
    assert body["source_item"] == "c/d"
    like = {
        "item_id": "b",
        "similarity_score": 0.5,
        "similarity_type": "co_visited",
        "shared_attributes": ["brand"],
    }
    assert body["items"] == [like]
    assert problem(asked(engine, "GET", "/v1/items/x/similar"), 404)["value"] == "x"
    for wrong in ("1.1", "nan", "x", "1_0", ""):
        assert problem(asked(engine, "GET", f"/v1/items/a/similar?diversity={wrong}"), 422)["field"] == "diversity"
    assert len(asked(engine, "GET", "/v1/trending?limit=2&category=A%20%3E%20B").json()["items"]) == 2
    assert engine.limits == [(3, 0.5, "u"), (20, 0.0, ""), (2, "A > B")]
    problem(asked(engine, "GET", "/v1/trending?limit=1000"), 422)


def test_items(engine: FakeEngine) -> None:
    taken = asked(engine, "PUT", "/v1/items/x%2Fy", json={"title": "T", "category": "A>B"}).json()
    assert taken == {"item": {"item_id": "x/y", "title": "T", "category": "A > B"}, "offset": 4}
    changed = asked(engine, "PATCH", "/v1/items/x%2Fy", json={"price": 3.5}).json()
    assert changed["item"] == {"item_id": "x/y", "title": "T", "category": "A > B", "price": 3.5}
    problem(asked(engine, "PATCH", "/v1/items/nope", json={}), 404)
    assert problem(asked(engine, "PUT", "/v1/items/x", json={"titel": "T"}), 422)["field"] == "titel"
    deleted = asked(engine, "DELETE", "/v1/items/x%2Fy")
    assert (deleted.status_code, deleted.content) == (204, b"")
    problem(asked(engine, "DELETE", "/v1/items/x%2Fy"), 404)
    problem(asked(engine, "PUT", "/v1/items/", json={}), 404)
    batch = asked(engine, "POST", "/v1/items", json={"items": [{"item_id": "n"}, {"item_id": ""}]}).json()
    assert (batch["accepted"], batch["item_ids"]) == (1, ["n", None])
    assert batch["rejected"][0]["field"] == "item_id"
    assert problem(asked(engine, "POST", "/v1/items", json=[{}]), 422)["rejected"][0]["index"] == 0
    engine.failure = NearlineError("item_id", "x", "its key is that of 'y'; use another id")
    assert "another id" in problem(asked(engine, "PUT", "/v1/items/x", json={}), 422)["remedy"]


def test_users(engine: FakeEngine) -> None:
    problem(asked(engine, "GET", "/v1/users/u"), 404)
    asked(engine, "POST", "/v1/events", json=CLICK)
    assert asked(engine, "GET", "/v1/users/u").json()["last_updated"] == NOW
    assert asked(engine, "DELETE", "/v1/users/u").json() == {"user_id": "u", "offset": 7}
    problem(asked(engine, "GET", "/v1/users/u"), 404)


def test_no_such_path_or_method(engine: FakeEngine) -> None:
    assert "/docs" in problem(asked(engine, "GET", "/v1/nope"), 404)["detail"]
    response = asked(engine, "POST", "/v1/items/a")
    problem(response, 405)
    assert response.headers["allow"] == "GET, PUT, PATCH, DELETE"
    assert asked(engine, "PUT", "/v1/events").headers["allow"] == "POST"
    assert asked(engine, "HEAD", "/healthz").status_code == 200


def test_a_mistake_of_the_server_shows_nothing(engine: FakeEngine, caplog: pytest.LogCaptureFixture) -> None:
    engine.failure = RuntimeError("secret")
    response = asked(engine, "GET", "/v1/recommendations?user_id=u")
    problem(response, 500)
    assert "secret" not in response.text
    assert "secret" in caplog.text


def test_readiness(engine: FakeEngine) -> None:
    assert asked(engine, "GET", "/readyz").json() == {"status": "ready"}
    engine.ready = False
    for path in ("/readyz", "/v1/trending"):
        response = asked(engine, "GET", path)
        problem(response, 503)
        assert response.headers["retry-after"] == "1"
    assert asked(engine, "GET", "/healthz").json() == {"status": "ok"}


def test_api_key() -> None:
    engine = FakeEngine(api_key="s3cret")
    for path in ("/v1/trending", "/metrics", "/docs", "/openapi.json", "/v1/nope", "/nope", "/v1/events"):
        for headers in (
            {},
            {"X-API-Key": "wrong"},
            {"Authorization": "Bearer nope"},
            {"Authorization": "Basic s3cret"},
        ):
            response = asked(engine, "GET", path, headers=headers)
            problem(response, 401)
            assert response.headers["www-authenticate"] == "Bearer"
    for headers in (
        {"X-API-Key": "s3cret"},
        {"Authorization": "Bearer s3cret"},
        {"Authorization": "bearer  s3cret"},
    ):
        assert asked(engine, "GET", "/v1/trending", headers=headers).status_code == 200
    assert asked(engine, "GET", "/healthz").status_code == asked(engine, "GET", "/readyz").status_code == 200


def test_cors(engine: FakeEngine) -> None:
    origin = {"Origin": "https://shop.example"}
    assert "access-control-allow-origin" not in asked(engine, "GET", "/v1/trending", headers=origin).headers
    shared = FakeEngine(cors_origins=("https://shop.example",))
    headers = asked(shared, "GET", "/v1/trending", headers=origin).headers
    assert headers["access-control-allow-origin"] == "https://shop.example"
    ask = {
        **origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "Content-Type",
    }
    assert asked(shared, "OPTIONS", "/v1/events", headers=ask).status_code == 200
    other = asked(shared, "GET", "/v1/trending", headers={"Origin": "https://evil.example"}).headers
    assert "access-control-allow-origin" not in other


def test_request_ids(engine: FakeEngine) -> None:
    made = {asked(engine, "GET", "/healthz").headers["x-request-id"] for _ in range(3)}
    assert len(made) == 3
    for bad in ("a b", "x" * 129, "<script>"):
        assert asked(engine, "GET", "/healthz", headers={"X-Request-Id": bad}).headers["x-request-id"] != bad


def test_metrics(engine: FakeEngine) -> None:
    metrics = Metrics()
    client = Client(engine, metrics)
    client("POST", "/v1/events", json=[CLICK, {**CLICK, "item_id": "z"}, {}])
    client("GET", "/v1/items/a/similar")
    client("GET", "/nope")
    metrics.stage("ranking", 0.0004)
    metrics.component_error("als")
    metrics.component_timeout("slow")
    metrics.served("ranker", "personal")
    metrics.events(duplicate=3)
    metrics.effect(0.02)
    response = client("GET", "/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    lines = response.text.splitlines()
    for line in (
        'nearline_events_total{outcome="accepted"} 2.0',
        'nearline_events_total{outcome="rejected"} 1.0',
        'nearline_events_total{outcome="unknown_item"} 1.0',
        'nearline_events_total{outcome="duplicate"} 3.0',
        'nearline_request_seconds_count{endpoint="/v1/items/{item_id}/similar"} 1.0',
        'nearline_responses_total{status="404"} 1.0',
        'nearline_stage_seconds_bucket{le="0.00025",stage="ranking"} 0.0',
        'nearline_stage_seconds_bucket{le="0.0005",stage="ranking"} 1.0',
        'nearline_component_errors_total{component="als"} 1.0',
        'nearline_component_timeouts_total{component="slow"} 1.0',
        'nearline_lists_total{served_from="ranker"} 1.0',
        'nearline_lists_total{served_from="trending"} 0.0',
        "nearline_event_effect_seconds_sum 0.02",
        "nearline_catalog_items 3.0",
        "nearline_train_failures_total 2.0",
    ):
        assert line in lines
    assert not any(line.startswith("nearline_log_lag_events") for line in lines)
    for one in METRICS:
        assert f"# TYPE {one.name} " in response.text


def test_docs_name_every_endpoint_and_every_rung(engine: FakeEngine) -> None:
    text = (DOCS / "http-api.md").read_text()
    for method, path in Api(engine, Metrics()).endpoints:
        assert f"`{method} {path}`" in text, (method, path)
        assert f"{path.split('{')[0]}" in text.split("curl", 1)[1]
    for name, meaning in SERVED_FROM.items():
        assert f"| `{name}` | {meaning} |" in text


@pytest.fixture
def own_logging() -> Iterator[None]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield
    root.handlers[:], level = before
    root.setLevel(level)


@pytest.mark.usefixtures("own_logging")
def test_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setenv("NEARLINE_LOG_LEVEL", "warning")
    configure_logs(stream=stream)
    token = REQUEST_ID.set("r9")
    logger = logging.getLogger("nearline.test")
    logger.info("not this")
    try:
        raise ValueError("oops")
    except ValueError:
        logger.exception("failed %s", "here", extra={"source": "als"})
    REQUEST_ID.reset(token)
    logger.warning("later")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["message"], first["request_id"], first["level"]) == ("failed here", "r9", "error")
    assert first["source"] == "als"
    assert "ValueError: oops" in first["exception"]
    assert "request_id" not in second
    with pytest.raises(NearlineError, match="NEARLINE_LOG_LEVEL"):
        configure_logs("loud")


class Slow(FakeEngine):
    """Shows what was written a little later, as a log with fsync does."""

    async def put_items(self, items: Sequence[Item]) -> int:
        await asyncio.sleep(0.01)
        return await super().put_items(items)


def test_changes_of_one_item_at_the_same_time_all_stay() -> None:
    engine = Slow()
    engine.fake.items["a"] = Item("a", "Item a")
    client = Client(engine)

    async def all_at_once() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=client.transport, base_url="http://t") as one:
            changes: list[dict[str, Any]] = [{"title": "New"}, {"brand": "Acme"}, {"price": 3.0}, {"tags": ["red"]}]
            put = one.put("/v1/items/a", json={"title": "Put", "category": "Home"})
            return await asyncio.gather(put, *(one.patch("/v1/items/a", json=change) for change in changes))

    assert {response.status_code for response in asyncio.run(all_at_once())} == {200}
    assert engine.fake.items["a"] == Item("a", "New", "Home", "Acme", 3.0, ("red",))
