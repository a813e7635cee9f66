"""Lists for many users in one call: each its own, live requests before them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from fake_engine import FakeEngine
from house import House, told
from test_api import asked, problem

from nearline.app.definition import App
from nearline.serving.asgi import Call
from nearline.serving.routes_batch import BatchRoutes

APP = App(events=["view"])
BATCH = "/v1/recommendations:batch"
N = 40


async def stock(house: House) -> None:
    await house.post("/v1/items", [{"item_id": f"i{n}", "category": f"c{n % 4}"} for n in range(30)])
    await house.post("/v1/events", [{"event_type": "view", "user_id": f"u{n}", "item_id": f"i{n % 30}"} for n in range(N)], 202)


def test_each_gets_its_list_or_its_own_error(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        await stock(house)
        requests: list[dict[str, Any]] = [{"user_id": f"u{n}", "context": "email", "page_size": 3} for n in range(N)]
        requests[7], requests[9] = {"context": "email"}, {"user_id": "u9", "device": "fridge"}
        requests[11]["exclude"] = [f"i{n}" for n in range(10)]
        answer = await house.post(BATCH, {"requests": requests})
        assert [each["index"] for each in answer["lists"]] == [n for n in range(N) if n not in (7, 9)]
        assert [(each["index"], each["field"]) for each in answer["rejected"]] == [(7, "user_id"), (9, "device")]
        lists = {each["index"]: each["list"] for each in answer["lists"]}
        assert all(len(each["items"]) == 3 for each in lists.values())
        assert not {item["item_id"] for item in lists[11]["items"]} & set(requests[11]["exclude"])
        narrow = [
            {"user_id": "u1", "filter": ["category:is:c2"]},
            {"user_id": "u2", "filter": ["category:in:c1|c3", "item_id:not:i1"], "explain": True},
            {"user_id": "u3", "filter": ["colour:is:red"]},
        ]
        filtered = await house.post(f"{BATCH}?log=false", narrow)
        (_, two), (_, other) = ([each["index"], each["list"]["items"]] for each in filtered["lists"])
        assert {item["metadata"]["category"] for item in two} == {"c2"}
        assert {item["metadata"]["category"] for item in other} == {"c1", "c3"}
        assert "i1" not in {item["item_id"] for item in other}
        assert all(item["explanation"]["retrieval_shares"] for item in other)
        assert not any("retrieval_shares" in item["explanation"] for item in two)
        assert [(each["index"], each["field"]) for each in filtered["rejected"]] == [(2, "filter")]
        await house.post(f"{BATCH}?log=false", [{"user_id": "quiet"}])
        logged: list[Any] = []
        while len(logged) < len(lists):
            await asyncio.sleep(0.01)
            _, logged = house.engine._log.read("feedback", 0, 1000)
        assert {(one.request_id, one.page) for one in logged} == {(each["request_id"], "email") for each in lists.values()}

    told(APP, tmp_path, story)


def test_live_requests_go_first(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        await stock(house)
        batch = asyncio.create_task(house.post(BATCH, [{"user_id": f"u{n % N}"} for n in range(400)]))
        order: list[str] = []
        batch.add_done_callback(lambda _: order.append("batch"))
        await asyncio.sleep(0.05)
        for n in range(20):
            await house.ask("GET", f"/v1/recommendations?user_id=u{n}")
            order.append("live")
        answer = await batch
        assert len(answer["lists"]) == 400
        assert order == ["live"] * 20 + ["batch"]

    told(APP, tmp_path, story)


def test_nobody_works_for_a_client_that_left() -> None:
    engine = FakeEngine()

    async def story() -> int:
        messages = [{"type": "http.request", "body": b'[{"user_id":"a"},{"user_id":"b"},{"user_id":"c"}]'}]

        async def receive() -> Any:
            return messages.pop() if messages else {"type": "http.disconnect"}

        scope = {"query_string": b"", "headers": [(b"content-type", b"application/json")]}
        reply = await BatchRoutes(engine).post(Call(scope, receive, {}, 1000))
        assert reply.parts is not None
        async for _ in reply.parts:
            await asyncio.sleep(0.01)
        return len(engine.queries)

    assert asyncio.run(story()) == 1


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({}, "user_id"),
        ({"user_id": "u", "page_size": 101}, "page_size"),
        ({"user_id": "u", "context": "mail"}, "context"),
        ({"user_id": "u", "locale": "!"}, "locale"),
        ({"user_id": "u", "exclude": ["a", None]}, "exclude[1]"),
        ({"user_id": "u", "after": "r"}, "after"),
        ({"user_id": "u", "filter": ["price:at_most"]}, "filter"),
        ({"user_id": "u", "filter": ["price:at_most:1"] * 21}, "filter"),
        ({"user_id": "u", "filter": "price:at_most:1"}, "filter"),
    ],
)
def test_where_all_are_wrong_none_is_made(request_: dict[str, Any], field: str) -> None:
    engine = FakeEngine()
    assert problem(asked(engine, "POST", BATCH, json=[request_]), 422)["rejected"][0]["field"] == field
    assert not engine.queries
    failing = FakeEngine()
    failing.failure = RuntimeError("secret")
    answer = asked(failing, "POST", BATCH, json=[{"user_id": "u"}])
    assert (answer.json()["lists"], answer.json()["rejected"][0]["index"]) == ([], 0)
    assert "secret" not in answer.text
