"""Rules and filters over HTTP on a real engine: set, refused, tried out, still there after a restart, over when they end."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from nearline import App, Category, Number
from nearline.app.sections import Budget, RuleSettings, Settings, Storage
from nearline.app.tenant import Tenant
from nearline.embedded.engine import Engine
from nearline.schema.clock import DAY, HOUR, VirtualClock
from nearline.schema.conditions import Condition
from nearline.schema.event import Record
from nearline.schema.item import Item
from nearline.schema.rules import Exclude, Pin, Rule
from nearline.serving.api import create_app
from nearline.serving.metrics import Metrics

NOW = 1_760_000_000_000
GENRES = ("Film > Action", "Film > Action > Spy", "Film > Drama", "Book > Novel")
APP = App(events=["view", "click", "purchase"], attributes={"color": Category(), "stock": Number()})
SPY = [{"attribute": "category", "op": "under", "value": "Film > Action > Spy"}]

# On a busy machine a stall would count as a component's.
BUDGET = Budget(3000, 600, 300, 1200, 300)


class House:
    """An engine over a folder, asked by HTTP without a socket."""

    def __init__(self, folder: Path, app: App, clock: VirtualClock) -> None:
        self.tenant = Tenant(
            app, Settings(storage=Storage(path=str(folder)), budget=BUDGET, rules=RuleSettings(exploration=0.0))
        )
        self.tenant.__dict__["clock"] = self.clock = clock
        self.metrics = Metrics()
        self.engine = Engine(self.tenant, self.metrics)

    async def ask(self, method: str, path: str, status: int = 200, **given: Any) -> Any:
        transport = httpx.ASGITransport(create_app(self.engine, self.metrics))
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
            response = await client.request(method, path, **given)
        assert response.status_code == status, response.text
        return response.json() if response.content and "json" in response.headers["content-type"] else response.text

    async def put(self, name: str, status: int = 200, /, **rule: Any) -> Any:
        return await self.ask("PUT", f"/v1/rules/{name}", status, json=rule)

    async def list(self, more: str = "", size: int = 10) -> list[str]:
        body = await self.ask("GET", f"/v1/recommendations?user_id=u&page_size={size}{more}")
        return [item["item_id"] for item in body["items"]]

    async def fill(self) -> None:
        """240 items, 60 of each genre; the first ones are clicked most, and hardly a spy film."""
        items = [
            Item(
                f"i{n:03}", f"Title {n}", GENRES[n % 4], ("Acme", "Zeta")[n % 2], float(n), ("new",) if n % 40 == 39 else (),
                NOW - n * DAY, attributes={"color": ("red", "blue")[n % 2], "stock": n % 5},
            )
            for n in range(240)
        ]  # fmt: skip
        await self.engine.put_items(items)
        clicks = [(n, turn) for n in range(240) for turn in range(max(1, (240 - n) // 12)) if n % 4 != 1 or turn == 0]
        await self.engine.add_events(
            [
                Record(f"e{n}-{turn}", "click", f"v{turn}", f"i{n:03}", NOW - HOUR, NOW - HOUR, category=GENRES[n % 4])
                for n, turn in clicks
            ]
        )
        # As the engine does twice a second.
        self.engine.recommender.pipeline.renew(self.clock.now())


Story = Callable[[House], Awaitable[None]]


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., None]:
    clock = VirtualClock(NOW)

    def run(*stories: Story, app: App = APP) -> None:
        """Each story in an engine of its own over the same folder: what comes between is a restart."""

        async def scene(place: int, story: Story) -> None:
            house = House(tmp_path, app, clock)
            await house.engine.open()
            try:
                if place == 0:
                    await house.fill()
                await story(house)
            finally:
                await house.engine.close()

        for place, story in enumerate(stories):
            asyncio.run(scene(place, story))

    return run


def number(item_id: str) -> int:
    return int(item_id[1:])


def test_a_filter_lets_only_what_matches_in_and_fills_the_page(play: Callable[..., None]) -> None:
    async def story(house: House) -> None:
        spies = await house.list("&filter=category:under:Film > Action > Spy", 50)
        assert len(spies) == 50
        assert all(number(one) % 4 == 1 for one in spies)
        both = await house.list("&filter=category:under:Film&filter=brand:is:Zeta&filter=price:at_most:20")
        assert sorted(both) == [f"i{n:03}" for n in (1, 5, 9, 13, 17)]
        assert await house.list("&filter=color:is:green") == []
        assert sorted(await house.list("&filter=stock:at_least:4&filter=price:at_most:20")) == ["i004", "i009", "i014", "i019"]
        assert sorted(await house.list("&filter=created_at:newer_than_days:2.5")) == ["i000", "i001", "i002"]
        # A changed item is in, or out, with the very next list; page after page brings all of them, once.
        await house.engine.put_items(
            [Item("i100", "Title 100", "Film > Action > Spy"), Item("fresh", "", "Film > Action > Spy")]
        )
        seen: list[str] = []
        after = ""
        for _ in range(7):
            path = f"/v1/recommendations?user_id=u&page_size=10&filter=category:is:Film > Action > Spy{after}"
            body = await house.ask("GET", path)
            seen += [item["item_id"] for item in body["items"]]
            after = f"&after={body['request_id']}"
        assert sorted(seen) == sorted(["fresh", "i100", *(f"i{n:03}" for n in range(1, 240, 4))])
        await house.engine.delete_item("fresh")
        assert "fresh" not in await house.list("&filter=category:is:Film > Action > Spy", 100)

    play(story)


def test_a_wrong_filter_is_refused_with_the_nearest_name(play: Callable[..., None]) -> None:
    async def story(house: House) -> None:
        for text, says in (
            ("colr:is:red", 'did you mean "color"'),
            ("price:atmost:1", 'did you mean "at_most"'),
            ("x", "write "),
        ):
            body = await house.ask("GET", f"/v1/recommendations?user_id=u&filter={text}", 422)
            assert (body["field"], body["value"]) == ("filter", text)
            assert says in body["remedy"]

    play(story)


def test_filters_and_exclusions_hold_on_the_last_rungs_too(play: Callable[..., None]) -> None:
    async def story(house: House) -> None:
        await house.put("no-acme", where=[{"attribute": "brand", "op": "is", "value": "Acme"}], action={"type": "exclude"})
        pipeline = house.engine.recommender.pipeline

        def fails(*_: Any) -> Any:
            raise RuntimeError("out of order")

        for source in pipeline.sources:
            setattr(source, "fetch", fails)  # noqa: B010
        body = await house.ask("GET", "/v1/recommendations?user_id=new&page_size=30&filter=category:under:Film > Action")
        assert body["served_from"] in ("trending", "trending_category", "available")
        assert len(body["items"]) == 30
        assert all(number(item["item_id"]) % 4 == 1 for item in body["items"])

    play(story)


def test_rules_are_set_kept_listed_and_withdrawn(play: Callable[..., None]) -> None:
    async def first(house: House) -> None:
        plain = await house.list()
        assert not any(number(one) % 4 == 1 for one in plain[:5])
        taken = await house.put("spies-first", where=SPY, action={"type": "pin", "position": 2}, priority=3)
        assert taken["rule"]["name"] == "spies-first"
        assert number((await house.list())[1]) % 4 == 1
        await house.put(
            "ads", where=[{"attribute": "tags", "op": "has", "value": "new"}],
            action={"type": "at_least", "count": 3, "first": 8, "label": "Sponsored"},
        )  # fmt: skip
        body = await house.ask("GET", "/v1/recommendations?user_id=u&page_size=10&debug=true")
        marked = [item["rank"] for item in body["items"] if item.get("label") == "Sponsored"]
        assert marked == [6, 7, 8]
        assert all(number(body["items"][rank - 1]["item_id"]) % 40 == 39 for rank in marked)
        assert body["trace"]["rules"]["ads"] == 3
        assert 'nearline_rule_effects_total{rule="ads"} 3.0' in await house.ask("GET", "/metrics")

    async def again(house: House) -> None:
        page = await house.list()
        assert number(page[1]) % 4 == 1
        assert all(number(one) % 40 == 39 for one in page[5:8])
        shown = (await house.ask("GET", "/v1/rules"))["rules"]
        assert [(one["rule"]["name"], one["origin"], one["state"]) for one in shown] == [
            ("spies-first", "declared", "in_force"),
            ("ads", "declared", "in_force"),
        ]
        assert (await house.ask("GET", "/v1/rules/ads"))["rule"]["action"]["label"] == "Sponsored"
        await house.ask("DELETE", "/v1/rules/spies-first", 204)
        await house.ask("DELETE", "/v1/rules/spies-first", 404)
        assert number((await house.list())[1]) % 4 != 1

    async def without(house: House) -> None:
        assert [one["rule"]["name"] for one in (await house.ask("GET", "/v1/rules"))["rules"]] == ["ads"]

    play(first, again, without)


def test_dates_pass(play: Callable[..., None]) -> None:
    async def story(house: House) -> None:
        when = {
            name: datetime.fromtimestamp(at / 1000, UTC).isoformat()
            for name, at in (("starts", NOW + HOUR), ("ends", NOW + DAY))
        }
        await house.put("spring", where=SPY, action={"type": "pin", "position": 1}, **when)
        for at, state, pinned in ((NOW, "waiting", False), (NOW + HOUR, "in_force", True), (NOW + DAY, "over", False)):
            house.clock.time = at
            assert (await house.ask("GET", "/v1/rules/spring"))["state"] == state
            assert (number((await house.list())[0]) % 4 == 1) == pinned

    play(story)


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"where": [{"attribute": "colour", "op": "is", "value": "red"}]}, "where[0].attribute", 'did you mean "color"'),
        ({"where": [{"attribute": "color", "op": "is"}]}, "where[0].value", "required"),
        ({"where": [{"atribute": "color", "op": "is", "value": 1}]}, "where[0].atribute", 'did you mean "attribute"'),
        ({"where": {"attribute": "color"}}, "where", "give a list"),
        ({"where": []}, "where", "at least one"),
        ({"action": {"type": "bost", "factor": 2}}, "action.type", 'did you mean "boost"'),
        ({"action": {"type": "boost", "factr": 2}}, "action.factr", 'did you mean "factor"'),
        ({"action": {"type": "boost", "factor": 1}}, "action.factor", "above 1"),
        ({"action": "boost"}, "action", "give an object"),
        ({"acton": {}}, "acton", 'did you mean "action"'),
        ({"name": "other"}, "name", "leave it out"),
        ({"starts": "2026-01-01T00:00:00"}, "starts", "zone"),
        ({"starts": "tomorrow"}, "starts", ""),
        ({"when": [{"attribute": "hour", "op": "is", "value": "noon"}]}, "when[0].value", "number"),
    ],
)
def test_wrong_rules_are_refused_and_change_nothing(
    play: Callable[..., None], change: dict[str, Any], field: str, says: str
) -> None:
    async def story(house: House) -> None:
        body = await house.put("r", 422, **({"where": SPY, "action": {"type": "boost", "factor": 2}} | change))
        assert body["field"] == field
        assert says in body["remedy"]
        tried = {"rule": {"where": SPY, "action": {"type": "boost", "factor": 2}} | change}
        if "name" not in change:
            tried["rule"]["name"] = "r"
            assert (await house.ask("POST", "/v1/rules/preview", 422, json=tried))["field"] == "rule." + field
        assert (await house.ask("GET", "/v1/rules"))["rules"] == []

    play(story)


def test_a_preview_shows_both_lists_and_sets_nothing(play: Callable[..., None]) -> None:
    async def story(house: House) -> None:
        plain = await house.list()
        rule = {"name": "trial", "where": SPY, "action": {"type": "pin", "position": 1}, "starts": "2030-01-01T00:00:00Z"}
        asked = {"user_id": "u", "page_size": 10}
        found = await house.ask("POST", "/v1/rules/preview", json={"rule": rule, **asked})
        assert [place["item_id"] for place in found["before"]] == plain
        assert (found["applies"], found["effects"]) == (True, 1)
        assert set(found["gone"]) == set(plain) - {place["item_id"] for place in found["after"]}
        top = found["after"][0]
        assert (number(top["item_id"]) % 4, top["rank"], top["title"][:5]) == (1, 1, "Title")
        assert top["before"] != 1
        assert found["after"][1]["before"] == 1
        elsewhere = rule | {"when": [{"attribute": "surface", "op": "is", "value": "email"}]}
        found = await house.ask("POST", "/v1/rules/preview", json={"rule": elsewhere, **asked})
        assert (found["applies"], found["effects"], found["gone"]) == (False, 0, [])
        found = await house.ask("POST", "/v1/rules/preview", json={"rule": elsewhere, **asked, "context": "email"})
        assert found["applies"]
        assert await house.list() == plain
        assert (await house.ask("GET", "/v1/rules"))["rules"] == []

    play(story)


def test_rules_of_the_application_apply_and_give_way_to_one_set_over_http(play: Callable[..., None]) -> None:
    red = [Condition("color", "is", "red")]
    app = App(
        events=APP.events,
        attributes=APP.attributes,
        rules=[Rule(name="no-red", where=red, action=Exclude()), Rule(name="top", where=SPY_, action=Pin(1))],
    )

    async def story(house: House) -> None:
        page = await house.list()
        assert len(page) == 10
        assert all(number(one) % 2 for one in page)
        assert number(page[0]) % 4 == 1
        await house.ask("DELETE", "/v1/rules/no-red", 422)
        await house.put("no-red", where=[{"attribute": "color", "op": "is", "value": "blue"}], action={"type": "exclude"})
        assert not any(number(one) % 2 for one in await house.list())
        await house.ask("DELETE", "/v1/rules/no-red", 204)
        assert all(number(one) % 2 for one in await house.list())

    play(story, app=app)


SPY_ = [Condition("category", "under", "Film > Action > Spy")]


def test_a_rule_whose_attribute_the_application_lost_is_shown_as_refused_and_breaks_nothing(play: Callable[..., None]) -> None:
    async def first(house: House) -> None:
        await house.put("red", where=[{"attribute": "color", "op": "is", "value": "red"}], action={"type": "exclude"})

    async def later(house: House) -> None:
        assert len(await house.list()) == 10
        (shown,) = (await house.ask("GET", "/v1/rules"))["rules"]
        assert shown["state"] == "refused"
        assert "where[0].attribute" in shown["problem"]
        await house.ask("DELETE", "/v1/rules/red", 204)

    play(first)
    play(lambda house: nothing(), later, app=App(events=APP.events))


async def nothing() -> None: ...


def test_what_the_how_to_says_can_be_done(play: Callable[..., None]) -> None:
    text = (Path(__file__).parents[2] / "docs" / "how-to" / "rules.md").read_text()
    names: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", text, re.S)[0], names)
    calls = re.findall(r"curl -X (\w+) localhost:8080(\S+) [^{]*-d '(\{.*?\})'\n", text, re.S)
    assert len(calls) == 4

    async def story(house: House) -> None:
        for method, path, body in calls:
            await house.ask(method, path, json=json.loads(body))
        shown = [one["rule"]["name"] for one in (await house.ask("GET", "/v1/rules"))["rules"]]
        assert shown == ["new-in-film", "ads", "evening-deals", "hero", "no-red"]
        wanted = re.findall(r"--data-urlencode '(filter=.*?)'", text)
        assert len(await house.list("".join("&" + one for one in wanted), 5)) == 5
        for number_of, action in enumerate(re.findall(r"^\| `(\{.*?\})` \|", text, re.M)):
            await house.put(f"r{number_of}", where=SPY, action=json.loads(action))

    play(story, app=names["app"])
