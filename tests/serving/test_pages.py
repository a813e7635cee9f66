"""Pages: rows without repeats from one run, each a list of its own in the log."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from house import House, told

from nearline import App, NearlineError, Page, Row
from nearline.app.defaults import components
from nearline.pipeline.shelving import Group, dealt
from nearline.schema.candidates import Candidates, Ranked
from nearline.schema.event import Record
from nearline.schema.page import Shelf
from nearline.schema.served import Impression

ITEMS = 240
CATEGORIES = ("Film > Action", "Film > Comedy", "Series > Crime")
FRONT = Row("From our editors", list="front", fixed=True, size=4, least=2)
APP = App(
    events=["view", "watch"],
    pages={
        "home": Page(
            (
                FRONT,
                Row(source="covisit", most=2, size=5),
                Row("Trending in {category}", source="trending", most=3, size=5, least=2),
                Row("New this week", filter=("created_at:newer_than_days:7",), size=5, least=1, name="new"),
                Row("Action", filter=("category:under:Film > Action",), size=3, least=3, fixed=True),
                Row(source="history", least=50, size=60),
            )
        ),
        "lean": Page((Row(source="history", least=50, size=60),)),
    },
)


def title(n: int) -> str:
    return f"Title {n}"


async def shop(house: House) -> None:
    items: list[dict[str, Any]] = [{"item_id": f"i{n}", "title": title(n), "category": CATEGORIES[n % 3]} for n in range(ITEMS)]
    now = house.engine.clock.now()
    for n in (57, 58):
        items[n]["created_at"] = now - 86_400_000
    await house.post("/v1/items", items)
    house.renew()
    events = [
        {"event_type": "view", "user_id": f"u{u}", "item_id": f"i{n}"} for u in range(6) for n in range(u, ITEMS, 1 + u % 3)
    ]
    await house.post("/v1/events", events, 202)
    await house.ask("PUT", "/v1/lists/front", json={"title": "Spring", "item_ids": ["i9", "i1", "i44", "i2", "i30"]})


def shown(page: Any) -> list[str]:
    return [item["item_id"] for row in page["rows"] for item in row["items"]]


def test_a_page_has_its_rows_without_repeats_and_each_is_an_impression(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        await shop(house)
        views = [{"event_type": "view", "user_id": "me", "item_id": f"i{n}"} for n in (3, 6)]
        await house.post("/v1/events", views, 202)
        page = await house.ask("GET", "/v1/pages/home?user_id=me")
        assert len(set(shown(page))) == len(shown(page))
        rows = {row["title"]: row for row in page["rows"]}
        # Fixed rows stand where they were declared, the list in its own order; what is too short is left out.
        assert [item["item_id"] for item in page["rows"][0]["items"]] == ["i9", "i1", "i44", "i2"]
        assert (page["rows"][0]["title"], page["rows"][4]["title"]) == ("From our editors", "Action")
        assert {int(item["item_id"][1:]) % 3 for item in rows["Action"]["items"]} == {0}
        assert not any(row["name"] == "history" for row in page["rows"])
        # Each row about an item has that item as reason of all its own, but for what was drawn.
        because = [row for row in page["rows"] if row["name"] == "covisit"]
        assert {row["title"] for row in because} == {f"Because you viewed {title(n)}" for n in (3, 6)}
        for row in because:
            own = [item["explanation"] for item in row["items"] if item["explanation"]["type"] != "exploration"]
            assert {reason["reason"] for reason in own} == {row["title"]}
        trending = [row for row in page["rows"] if row["name"] == "trending"]
        assert trending
        for row in trending:
            assert {item["metadata"]["category"] for item in row["items"]} == {
                category for category in CATEGORIES if row["title"] == f"Trending in {category.split(' > ')[1]}"
            }
        assert {item["item_id"] for item in rows["New this week"]["items"]} <= {"i57", "i58"}
        # Each row can be answered to by itself.
        records: list[Record] = []
        while len(records) < len(page["rows"]):  # the writer thread has them
            await asyncio.sleep(0.01)
            _, records = house.engine._log.read("feedback", 0, 1000)
        logged = [(record.request_id, msgspec.json.decode(record.context, type=Impression)) for record in records]
        assert {(id_, one.page, one.row, tuple(one.items)) for id_, one in logged} == {
            (row["request_id"], "home", row["name"], tuple(item["item_id"] for item in row["items"])) for row in page["rows"]
        }

    told(APP, tmp_path, story)


def test_too_little_for_any_row_is_one_row_and_strangers_get_a_page(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        assert (await house.ask("GET", "/v1/pages/home?session_id=s"))["rows"] == []
        await shop(house)
        lean = await house.ask("GET", "/v1/pages/lean?user_id=nobody")
        assert [row["name"] for row in lean["rows"]] == ["picked"]
        assert len(lean["rows"][0]["items"]) == 20
        assert len((await house.ask("GET", "/v1/pages/home?session_id=s"))["rows"]) >= 2
        await house.ask("GET", "/v1/pages/nope?user_id=u", 404)
        await house.ask("GET", "/v1/pages/home", 422)
        excluded = await house.ask("GET", "/v1/pages/home?user_id=me&exclude=i9,i1")
        assert not {"i9", "i1"} & set(shown(excluded))

    told(APP, tmp_path, story)


def test_an_application_without_pages_has_good_ones(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        await shop(house)
        views = [{"event_type": "view", "user_id": "me", "item_id": f"i{n}"} for n in range(3, ITEMS, 30)]
        await house.post("/v1/events", views, 202)
        page = await house.ask("GET", "/v1/pages/home?user_id=me&locale=de")
        titles = [row["title"] for row in page["rows"]]
        assert {"Spring", "Für dich ausgesucht"} <= set(titles)
        assert any(each.startswith("Weil du dir Title") for each in titles)
        assert len(set(shown(page))) == len(shown(page)) > 30
        item = await house.ask("GET", "/v1/pages/item?user_id=me&item_id=i7")
        assert f"Because you viewed {title(7)}" in [row["title"] for row in item["rows"]]
        assert "i7" not in shown(item)

    told(App(events=["view"]), tmp_path, story)


def ranked(scores: list[float]) -> Ranked:
    n = len(scores)
    none = np.zeros((n, 1), np.float32)
    items = np.arange(n, dtype=np.int32)
    return Ranked(Candidates(items, none, none, np.zeros(n, np.int32), np.full(n, -1, np.int32)), np.array(scores, np.float32))


@pytest.mark.parametrize(("fixed", "order"), [((), "cab"), ((0,), "acb"), ((2,), "abc"), ((0, 1), "ab")])
def test_the_row_whose_head_is_worth_most_comes_first(fixed: tuple[int, ...], order: str) -> None:
    whole = ranked([9, 8, 7, 6, 5, 4, 3, 2, 1])
    # c is worth more than b, whose best items it has too; fixed, a row takes its items before both.
    places = {"a": [1, 4, 5], "b": [0, 2, 6, 7], "c": [0, 2, 3]}
    rows = tuple(Row(name, size=3, least=2, fixed=n in fixed) for n, name in enumerate(places))
    groups = [Group(Shelf(row, whole), np.array(own, np.int32)) for row, own in zip(rows, places.values(), strict=True)]
    shelves = dealt(Page(rows), groups, lambda own, size: own)
    assert [shelf.row.title for shelf in shelves] == list(order)
    found = [item for shelf in shelves for item in shelf.ranked.candidates.items.tolist()]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("row", "field", "remedy"),
    [
        (Row("For {user}"), "title", "{category}"),
        (Row(source="covisit", list="front"), "list", "not both"),
        (Row(filter=("colour:is:red",)), "filter[0]", "no such attribute"),
        (Row(filter=("price:at_most:cheap",)), "filter[0]", "give a number"),
        (Row(size=0), "size", "from 1 to 100"),
        (Row(size=2), "least", "from 1 to 2"),
        ("trending", "", "give a Row"),
    ],
)
def test_a_wrong_row_is_refused_by_its_place(row: Any, field: str, remedy: str) -> None:
    with pytest.raises(NearlineError) as caught:
        App(events=["view"], pages={"home": Page((Row(), row))})
    assert caught.value.field == 'App.pages["home"].rows[1]' + (f".{field}" if field else "")
    assert remedy in caught.value.remedy
    with pytest.raises(NearlineError, match='did you mean "covisit"'):
        components(App(events=["view"], pages={"home": Page((Row(source="covisits"),))}))
