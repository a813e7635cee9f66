"""Editorial lists: kept, shown as long as they are in force, refused where they can't be right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_engine import FakeEngine
from house import House, told
from test_api import asked, problem

from nearline.app.definition import App
from nearline.schema.clock import HOUR

APP = App(events=["view", "click"])
LIST = "/v1/lists/front"


def test_a_list_is_shown_while_it_is_in_force_and_survives_a_restart(tmp_path: Path) -> None:
    async def shown(house: House, context: str = "homepage", user: str = "u") -> dict[str, str]:
        path = f"/v1/recommendations?user_id={user}&context={context}&page_size=50"
        items = (await house.ask("GET", path))["items"]
        return {i["item_id"]: i["explanation"]["reason"] for i in items if i["rec_source"] == "editorial"}

    async def before(house: House) -> None:
        now = house.engine.clock.now()
        await house.post("/v1/items", [{"item_id": f"i{n}", "category": f"c{n % 3}"} for n in range(9)])
        assert await shown(house) == {}
        body = {"title": "For the summer", "item_ids": ["i7", "later", "i2", "i7"], "surfaces": ["homepage"]}
        taken = await house.ask("PUT", LIST, json=body)
        kept = {"name": "front", **body, "item_ids": ["i7", "later", "i2"], "starts": 0, "ends": 0, "unknown_items": 1}
        assert taken["list"] == kept
        assert await house.ask("GET", LIST) == kept
        assert await shown(house) == dict.fromkeys(("i7", "i2"), "For the summer")
        assert await shown(house, "push") == {}
        # What is registered later is shown from then on, what is withdrawn no more.
        await house.ask("PUT", "/v1/items/later", json={"title": "Later"})
        await house.ask("DELETE", "/v1/items/i2", 204)
        assert set(await shown(house)) == {"i7", "later"}
        for starts, ends, there in ((now - HOUR, now + HOUR, True), (now + HOUR, None, False), (None, now - HOUR, False)):
            await house.ask("PUT", "/v1/lists/timed", json={"item_ids": ["i5"], "starts": starts, "ends": ends})
            # Another user each time: no message repeats what one sent.
            assert ("i5" in await shown(house, "push", f"u{starts}{ends}")) is there

    async def after(house: House) -> None:
        assert [each["name"] for each in (await house.ask("GET", "/v1/lists"))["lists"]] == ["front", "timed"]
        assert set(await shown(house)) == {"i7", "later"}
        await house.ask("DELETE", LIST, 204)
        assert await shown(house) == {}
        await house.ask("DELETE", LIST, 404)
        await house.ask("GET", LIST, 404)

    told(APP, tmp_path, before, after)


@pytest.mark.parametrize(
    ("body", "field", "remedy"),
    [
        ({}, "item_ids", "required"),
        ({"item_ids": []}, "item_ids", "1 to 1,000"),
        ({"item_ids": ["a", ""]}, "item_ids[1]", "id of an item"),
        ({"item_ids": ["a", None]}, "item_ids[1]", "text or a whole number"),
        ({"item_ids": ["a"], "titel": "x"}, "titel", 'did you mean "title"?'),
        ({"item_ids": ["a"], "title": "x" * 201}, "title", "at most 200"),
        ({"item_ids": ["a"], "starts": "2024-05-01"}, "starts", "zone is missing"),
        ({"item_ids": ["a"], "ends": "tomorrow"}, "ends", "ISO 8601"),
        (
            {"item_ids": ["a"], "starts": "2024-05-02T00:00:00Z", "ends": "2024-05-01T00:00:00Z"},
            "ends",
            "after starts, 2024-05-02",
        ),
        ({"item_ids": ["a"], "surfaces": ["home"]}, "surfaces[0]", 'did you mean "homepage"?'),
    ],
)
def test_a_wrong_list_is_refused_by_field(body: dict[str, Any], field: str, remedy: str) -> None:
    engine = FakeEngine()
    answer = problem(asked(engine, "PUT", LIST, json=body), 422)
    assert answer["field"] == field
    assert remedy in answer["remedy"]
    assert not engine.declared.of("list")
    assert problem(asked(engine, "PUT", "/v1/lists/a%20b", json={"item_ids": ["a"]}), 422)["field"] == "name"
