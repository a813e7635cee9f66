"""Cold start on a real server: profiles, interests, onboarding, segments, new items, and logging in."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from server_process import Server

ITEMS = [
    {
        "item_id": f"{aisle.lower()}-{k}",
        "title": f"{aisle} {k}",
        "category": f"Shop > {aisle}",
        "brand": f"brand-{k % 4}",
        "price": 5 + k,
        "image_url": f"https://shop.test/{aisle}/{k}.jpg",
    }
    for aisle in ("Books", "Garden", "Music", "Shoes", "Toys")
    for k in range(12)
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("cold") / "shop", {"RULES_PER_CATEGORY": 100, "RULES_DIVERSITY": 0})
    made.start()
    try:
        ok(made, "POST", "/v1/items", {"items": ITEMS})
        # Everyone likes toys, and most the first; so does trending.
        click(made, *((f"crowd-{n}", f"toys-{k}") for n in range(30) for k in range(1 + n % 6)))
        yield made
    finally:
        made.end()


def ok(server: Server, method: str, path: str, body: object = None) -> Any:
    status, answer, _ = server.ask(method, path, body)
    assert status in (200, 202), answer
    return answer


def click(server: Server, *choices: tuple[str, str], **more: Any) -> Any:
    clicks = [{"event_type": "click", "user_id": user, "item_id": item, **more} for user, item in choices]
    return ok(server, "POST", "/v1/events", clicks)


def listed(server: Server, who: str, size: int = 10) -> list[str]:
    answer = ok(server, "GET", f"/v1/recommendations?{who}&page_size={size}")
    return [item["item_id"] for item in answer["items"]]


def until(true: Callable[[], bool], seconds: float = 1.5) -> None:
    """Wait for what comes soon: indexes of the catalogue are renewed beside the requests, within a second."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def share(items: list[str], aisle: str) -> float:
    return sum(item.startswith(aisle) for item in items) / len(items)


def profile(server: Server, user: str) -> Any:
    return ok(server, "GET", f"/v1/users/{user}")["demographics"]


def test_a_profile_is_set_changed_kept_and_erased(server: Server) -> None:
    full = {"age_group": "25-34", "gender": "female", "location": "DE"}
    assert ok(server, "PUT", "/v1/users/ann", full)["demographics"] == full
    changed = ok(server, "PATCH", "/v1/users/ann", {"gender": None, "age_group": "35-44"})
    assert changed["demographics"] == profile(server, "ann") == {"age_group": "35-44", "location": "DE"}
    assert ok(server, "PUT", "/v1/users/bob", {"location": "Åland"})["demographics"] == {"location": "Åland"}
    server.kill()  # from the log
    server.start()
    assert profile(server, "ann") == {"age_group": "35-44", "location": "DE"}
    server.stop()  # from a snapshot
    server.start()
    assert profile(server, "bob") == {"location": "Åland"}
    ok(server, "DELETE", "/v1/users/ann")
    assert server.ask("GET", "/v1/users/ann")[0] == 404
    ok(server, "PATCH", "/v1/users/ann", {"gender": "other"})
    assert profile(server, "ann") == {"gender": "other"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"age_group": "25-35"}, "age_group"),
        ({"gender": "Female"}, "gender"),
        ({"location": ""}, "location"),
        ({"location": "x" * 65}, "location"),
        ({"country": "DE"}, "country"),
    ],
)
def test_a_wrong_profile_is_named(server: Server, body: object, field: str) -> None:
    status, problem, _ = server.ask("PATCH", "/v1/users/eve", body)
    assert status == 422
    assert problem["field"] == field
    assert problem["remedy"]


def test_onboarding_offers_many_kinds_and_interests_move_the_next_list(server: Server) -> None:
    offered = ok(server, "GET", "/v1/onboarding?n=5")
    aisles = {item["category"] for item in offered["items"]}
    assert len(offered["items"]) == len(aisles) == 5
    assert offered["items"][0]["item_id"] == "toys-0"
    assert all(item["image_url"] and item["title"] for item in offered["items"])
    assert {category["category"] for category in offered["categories"]} == aisles
    before = listed(server, "user_id=cold")
    assert share(before, "garden") < 0.3
    taken = ok(
        server,
        "POST",
        "/v1/users/cold/interests",
        {"categories": ["Shop > Garden"], "items": ["shoes-3"], "brands": ["brand-1"]},
    )
    assert taken["accepted"] == 3
    after = listed(server, "user_id=cold")
    assert share(after, "garden") + share(after, "shoes") > share(before, "garden") + share(before, "shoes")
    view = ok(server, "GET", "/v1/users/cold")
    assert {one["name"] for one in view["preferences"]["categories"]} == {"Shop > Garden", "Shop > Shoes"}
    assert view["recent_views"][0] | {"at": ""} == {"item_id": "shoes-3", "at": "", "role": "declared"}
    wide = ok(server, "POST", "/v1/users/wide/interests", {"categories": ["Shop"]})
    assert wide["accepted"] == 4
    for body, field in (
        ({"categories": ["Shop > Gardn"]}, "categories[0]"),
        ({"items": ["no-such"]}, "items[0]"),
        ({"brands": ["no-such"]}, "brands[0]"),
        ({}, "interests"),
    ):
        status, problem, _ = server.ask("POST", "/v1/users/cold/interests", body)
        assert (status, problem["field"]) == (422, field)


def test_interests_are_no_popularity(server: Server) -> None:
    for n in range(40):
        ok(server, "POST", f"/v1/users/fan{n}/interests", {"items": ["music-7"]})
    trending = ok(server, "GET", "/v1/trending?limit=5")["items"]
    assert "music-7" not in [item["item_id"] for item in trending]


@pytest.mark.parametrize("by_event", [True, False], ids=["event", "request"])
def test_what_was_done_before_login_counts_afterwards_and_once(server: Server, by_event: bool) -> None:
    session, user = f"visit-{by_event}", f"newcomer-{by_event}"
    click(server, ("", "books-1"), ("", "books-2"), ("", "books-5"), session_id=session)
    touched = ok(server, "GET", "/v1/items/books-1/similar?limit=3")
    if by_event:
        click(server, (user, "music-1"), session_id=session)
    first = listed(server, f"user_id={user}&session_id={session}")
    assert share(first, "books") >= 0.2
    view = ok(server, "GET", f"/v1/users/{user}")
    seen = [one["item_id"] for one in view["recent_views"]]
    assert seen == ["music-1"] * by_event + ["books-5", "books-2", "books-1"]
    # Once more is nothing more, and neither do the items count it again.
    click(server, (user, "music-2"), session_id=session)
    assert len(ok(server, "GET", f"/v1/users/{user}")["recent_views"]) == len(seen) + 1
    assert ok(server, "GET", "/v1/items/books-1/similar?limit=3")["items"][:1] == touched["items"][:1]
    ok(server, "DELETE", f"/v1/users/{user}")
    assert server.ask("GET", f"/v1/users/{user}")[0] == 404


def test_a_session_outlives_a_restart_until_it_logs_in(server: Server) -> None:
    click(server, ("", "shoes-1"), ("", "shoes-2"), session_id="before-the-crash")
    server.kill()
    server.start()
    click(server, ("back", "toys-1"), session_id="before-the-crash")
    views = ok(server, "GET", "/v1/users/back")["recent_views"]
    assert [one["item_id"] for one in views] == ["toys-1", "shoes-2", "shoes-1"]
    server.kill()
    server.start()
    again = ok(server, "GET", "/v1/users/back")["recent_views"]
    assert again == views


def test_a_new_item_can_be_listed_within_a_second(server: Server) -> None:
    click(server, *[("gardener", f"garden-{k}") for k in range(4)])
    listed(server, "user_id=gardener")
    ok(server, "PUT", "/v1/items/garden-new", {"title": "New", "category": "Shop > Garden", "brand": "brand-2", "price": 9})
    until(lambda: "garden-new" in listed(server, "user_id=gardener", 60))


def test_the_how_to_does_what_it_says(server: Server) -> None:
    ok(server, "PUT", "/v1/items/wok", {"title": "Wok", "category": "Home > Kitchen"})
    page = Path(__file__).parents[2] / "docs" / "how-to" / "cold-start.md"
    answers = {}
    for line in re.findall(r"^curl .*$", page.read_text(), re.M):
        words = shlex.split(line)
        method = words[words.index("-X") + 1] if "-X" in words else "GET"
        url = next(word for word in words if word.startswith("localhost:8080"))
        body = json.loads(words[words.index("-d") + 1]) if "-d" in words else None
        answers[f"{method} {url.removeprefix('localhost:8080')}"] = ok(server, method, url.removeprefix("localhost:8080"), body)
    assert len(answers) == 8
    assert answers["GET /v1/users/u9"]["demographics"] == {"location": "DE"}
    assert answers["GET /v1/users/u9"]["preferences"]["categories"][0]["name"] == "Home > Kitchen"
    until(lambda: "wok" in listed(server, "user_id=u9&device=mobile", 6))
    assert ok(server, "GET", "/v1/users/u10")["recent_views"][0]["item_id"] == "wok"


def test_lists_are_counted_by_how_far_they_reach(server: Server) -> None:
    def counted() -> dict[str, float]:
        status, text = server.text("/metrics")
        assert status == 200
        return {reach: float(n) for reach, n in re.findall(r'nearline_lists_by_reach_total{reach="(\w+)"} ([0-9.]+)', text)}

    before = counted()
    listed(server, "user_id=crowd-1")
    after = counted()
    assert after["personal"] == before["personal"] + 1
    assert sum(after.values()) == sum(before.values()) + 1


def test_the_log_says_all_of_it(server: Server) -> None:
    """What is replayed from the log alone is what the server has."""
    tenant, folder = server.tenant(), Path(server.folder)
    server.stop()
    try:
        from nearline.stream.local import LocalStream

        log = tenant.log(read_only=True)
        restored, replayed = LocalStream(tenant), LocalStream(tenant, tenant.world())
        restored.restore(log)
        replayed.follow(log)
        log.close()
        a, b = restored.world.state.dump(), replayed.world.state.dump()
        # Slots of items are private to a state; rows of visitors are the same bytes.
        for name in ("users", "presence", "fold.demographics", "fold.affinity", "fold.history"):
            assert a[name].tobytes() == b[name].tobytes(), name
    finally:
        assert folder.exists()
        server.start()
