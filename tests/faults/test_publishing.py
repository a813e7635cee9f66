"""Publishing, with real processes: a server, publishers that are killed, subscribers that are away."""

from __future__ import annotations

import http.client
import random
import re
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from server_process import Server, items

from engines.kafka import Kafka
from engines.valkey import Valkey
from engines.webhook import Webhook
from nearline.embedded.publishing.dead import NAME, DeadLetter
from nearline.schema.result import Result
from nearline.stores.subscriber import ResultStore, SubscriberPlace, open_result_store

T = TypeVar("T")
KILLS = 3


class Shop(Server):
    """A server with publishers beside it."""

    def __init__(self, folder: Path, settings: dict[str, object], to: list[str]) -> None:
        urls = msgspec.json.encode(to).decode()
        super().__init__(folder, {"PUBLISH_TO": urls, "PUBLISH_WAIT_MS": 100, "RULES_EXPLORATION": 0, **settings})
        self.publishers: list[subprocess.Popen[bytes]] = []

    def publish(self, *arguments: str) -> subprocess.Popen[bytes]:
        self.publishers.append(self.command("publish", *arguments))
        return self.publishers[-1]

    def end(self) -> None:
        for one in self.publishers:
            if one.poll() is None:
                one.kill()
            one.wait()
        super().end()

    def say(self, *events: dict[str, Any]) -> int:
        status, taken, _ = self.ask("POST", "/v1/events", {"events": list(events)})
        assert status == 202, taken
        return int(taken["offset"])


def click(user: str, item: int, kind: str = "click") -> dict[str, Any]:
    return {"user_id": user, "event_type": kind, "item_id": f"i{item}", "event_id": uuid.uuid4().hex}


def soon(ask: Callable[[], T | None], shop: Server, seconds: float = 90.0) -> T:
    """Return an answer once there is one."""
    until = time.monotonic() + seconds
    while True:
        if (found := ask()) is not None:
            return found
        assert time.monotonic() < until, shop.output()[-4000:]
        time.sleep(0.02)


def seen(store: ResultStore, user: str, offset: int, surface: str = "homepage") -> Callable[[], Result | None]:
    """Return how to ask for a list of a user that has seen an offset."""

    def ask() -> Result | None:
        found = store.latest(user, surface)
        return found if found is not None and found.offset >= offset else None

    return ask


@pytest.fixture
def hook() -> Iterator[Webhook]:
    made = Webhook()
    yield made
    made.stop()


@pytest.fixture(params=["sqlite", "kafka", "postgresql", "kafka redis"])
def settings(request: pytest.FixtureRequest) -> dict[str, object]:
    if request.param == "sqlite":
        return {}
    if request.param == "postgresql":
        return {"STORAGE_LOG": request.getfixturevalue("postgresql_server").database()}
    broker: Kafka = request.getfixturevalue("broker")
    out: dict[str, object] = {"STORAGE_LOG": f"{broker.url}/{uuid.uuid4().hex[:8]}", "STORAGE_PARTITIONS": 3}
    if "redis" in request.param:
        out["STORAGE_STATE"] = request.getfixturevalue("redis_server").url
    return out


def test_a_click_makes_a_list_that_has_seen_it_whoever_is_killed(
    settings: dict[str, object], redis_server: Valkey, hook: Webhook, tmp_path: Path
) -> None:
    redis_server.say("FLUSHALL")
    hook.stop()  # dead from the beginning: it delays nobody
    shop = Shop(tmp_path, settings, [redis_server.url, hook.url])
    store = open_result_store(SubscriberPlace(redis_server.url, tmp_path))
    rng = random.Random(1)
    worker = shop.command("stream") if "STORAGE_STATE" in settings else None
    try:
        shop.start()
        assert shop.ask("POST", "/v1/items", items(40))[0] in (200, 201, 202)
        copies = 2 if settings else 1  # a log that is a file has one publisher
        for _ in range(copies):
            shop.publish()
        offset = shop.say(click("ann", 1), click("ann", 2))
        found = soon(seen(store, "ann", offset), shop)
        assert found.request_id.endswith("-homepage")
        assert len(found.items) == 20
        assert found.items[0].explanation.reason
        # What the API says at the same state.
        _, served, _ = shop.ask("GET", "/v1/recommendations?user_id=ann")
        assert [item["item_id"] for item in served["items"]] == [item.item_id for item in found.items]
        # No impression of it: nobody has seen it.
        log = shop.tenant().log(read_only=True)
        shown = sum(log.partition(n).end("feedback") for n in range(log.partitions))
        log.close()
        assert shown <= 1
        offsets = {"ann": offset}
        for turn in range(KILLS):
            for user in rng.sample([f"u{n}" for n in range(12)], 6):
                offsets[user] = shop.say(click(user, rng.randrange(40)))
            if turn % 2:
                time.sleep(rng.uniform(0.0, 0.5))
            victim = shop.publishers.pop(rng.randrange(len(shop.publishers)))
            victim.kill()
            victim.wait()
            shop.publish()
        for user, at in offsets.items():
            soon(seen(store, user, at), shop)
        # Erased: his list is gone too.
        status, gone, _ = shop.ask("DELETE", "/v1/users/ann")
        assert status in (200, 202)
        assert soon(seen(store, "ann", gone["offset"] + 1), shop).items == []
        for one in shop.publishers:
            one.send_signal(signal.SIGTERM)
        assert [one.wait(60) for one in shop.publishers] == [0] * copies, shop.output()[-3000:]
    finally:
        shop.end()
        store.close()
        if worker is not None:
            worker.terminate()
            worker.wait(30)


def test_dead_letters_are_readable_and_delivered_again(redis_server: Valkey, hook: Webhook, tmp_path: Path) -> None:
    redis_server.say("FLUSHALL")
    hook.hangs = 30.0
    settings = {"PUBLISH_BUDGET_SECONDS": 1, "PUBLISH_SURFACES": "homepage,email"}
    shop = Shop(tmp_path, settings, [hook.url, redis_server.url])
    store, letters = open_result_store(SubscriberPlace(redis_server.url, tmp_path)), tmp_path / "data" / "default" / NAME
    name = f"http://127.0.0.1:{hook.port}"
    try:
        shop.start()
        shop.ask("POST", "/v1/items", items(40))
        shop.publish("--metrics", "127.0.0.1:0")
        soon(seen(store, "ann", shop.say(click("ann", 1)), "email"), shop)
        (port,) = re.findall(r"metrics on http://127\.0\.0\.1:(\d+)/metrics", shop.output())
        began, offset = time.monotonic(), shop.say(click("ann", 2))
        soon(seen(store, "ann", offset), shop)
        assert time.monotonic() - began < 4  # the webhook hangs for 5 s at a time
        soon(lambda: True if letters.exists() and len(letters.read_bytes().splitlines()) >= 2 else None, shop)
        written = [msgspec.json.decode(line, type=DeadLetter) for line in letters.read_bytes().splitlines()]
        assert {letter.to for letter in written} == {name}
        assert "does not answer: timed out" in written[0].reason

        def counted() -> str | None:
            connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=10)
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
            connection.close()
            return text if f'nearline_results_dead_total{{subscriber="{name}"}} {float(len(written))}' in text else None

        text = soon(counted, shop)
        assert f'nearline_results_delivered_total{{subscriber="redis://127.0.0.1:{redis_server.port}/0"}} 4.0' in text
        for one in shop.publishers:
            one.kill()
            one.wait()
        assert "1 dead again" in shop.run("publish", "--dead", "--to", hook.url, status=1).replace("2 dead", "1 dead")
        hook.hangs = 0.0
        said = shop.run("publish", "--dead")
        assert "2 delivered, 0 dead again" in said
        assert {one.surface: one.offset for one in hook.got} == {"homepage": offset, "email": offset}
        assert not letters.exists()
        assert "0 delivered, 0 dead again" in shop.run("publish", "--dead")
        # Started again, it goes on where it was: nothing is lost, and what is done is not made once more.
        count = len(hook.got)
        shop.publish()
        offset = shop.say(click("bob", 3))
        soon(seen(store, "bob", offset), shop)
        soon(lambda: True if any(one.user_id == "bob" for one in hook.got[count:]) else None, shop)
    finally:
        shop.end()
        store.close()


def test_the_most_active_get_lists_once(tmp_path: Path) -> None:
    shop = Shop(tmp_path, {}, ["file:lists.jsonl"])
    try:
        shop.start()
        shop.ask("POST", "/v1/items", items(40))
        for user, events in (("ann", 5), ("bob", 3), ("eve", 9), ("zoe", 1)):
            shop.say(*(click(user, n) for n in range(events)))
        shop.say(*(click("lurker", n, "seen") for n in range(20)))
        shop.ask("DELETE", "/v1/users/eve")
        shop.run("publish", "--active", "2")
        lines = (tmp_path / "data" / "default" / "lists.jsonl").read_bytes().splitlines()
        made = [msgspec.json.decode(line, type=Result) for line in lines]
        assert [one.user_id for one in made] == ["ann", "bob"]
        assert all(one.items for one in made)
        shop.stop()
        # Without a server, too.
        assert "1 dead" in shop.run("publish", "--active", "1", "--to", "http://127.0.0.1:9/", status=1)
        assert "name the file" in shop.run("publish", "--to", "file:", status=2)
    finally:
        shop.end()


MOODY = """
from pathlib import Path
import numpy as np
from nearline import App
from nearline.schema.candidates import Retrieved

class MoodySource:
    name, reason, template, quota, time_based, folds, state = "moody", "trending", "Moody", 50, False, (), ()
    def fit(self, data): return {}
    def bind(self, world, arrays): self.world = world
    def fetch(self, query, user, limit):
        if Path(__file__).with_name("away").exists():
            raise RuntimeError("away")
        slots = np.flatnonzero(self.world.columns.available).astype(np.int32)[::-1][:limit].copy()
        return Retrieved(slots, np.linspace(1, 0.5, len(slots), dtype=np.float32), np.full(len(slots), -1, np.int32))

app = App(name="faults", events=["seen", "view", "click", "dislike"], sources=[MoodySource()])
"""


def test_what_was_published_serves_a_server_that_can_make_nothing(redis_server: Valkey, tmp_path: Path) -> None:
    redis_server.say("FLUSHALL")
    store_url = redis_server.url
    shop = Shop(tmp_path, {"STORAGE_RESULTS": store_url, "BUDGET_TOTAL_MS": 1000}, [store_url])
    shop.app.write_text(MOODY)
    store = open_result_store(SubscriberPlace(store_url, tmp_path))

    def served(user: str) -> tuple[str, list[str]]:
        status, body, _ = shop.ask("GET", f"/v1/recommendations?user_id={user}&page_size=6")
        assert status == 200
        return body["served_from"], [item["item_id"] for item in body["items"]]

    try:
        shop.start()
        shop.ask("POST", "/v1/items", items(40))
        publisher = shop.publish()
        for user in ("ann", "bob"):
            soon(seen(store, user, shop.say(click(user, 1))), shop)
        publisher.kill()
        publisher.wait()
        published = [item.item_id for item in store.latest("ann", "homepage").items]  # type: ignore[union-attr]
        # After it was published, one item went, and one is suppressed for this visitor.
        gone, disliked = published[0], published[2]
        assert shop.ask("DELETE", f"/v1/items/{gone}")[0] in (200, 202, 204)
        shop.say({"user_id": "ann", "event_type": "dislike", "item_id": disliked, "event_id": "d1"})
        (tmp_path / "away").touch()
        shop.stop()
        shop.start()
        allowed = [item for item in published if item not in (gone, disliked)][:6]
        assert served("ann") == ("published", allowed)
        assert served("stranger")[0] not in ("published", "last_list")
        assert "nearline_results_answer 1.0" in shop.text("/metrics")[1]
        redis_server.freeze()
        try:
            assert served("ann")[0].startswith("trending")
            began = time.monotonic()
            for _ in range(20):
                assert served("ann")[0].startswith("trending")
            assert time.monotonic() - began < 20 * 0.5, "a store that hangs is waited for once, half the budget"
            assert "nearline_results_answer 0.0" in shop.text("/metrics")[1]
        finally:
            redis_server.thaw()
        soon(lambda: True if served("ann")[0] == "published" else None, shop)
        # Erased: his list goes from the store, though no publisher runs.
        _, erased, _ = shop.ask("DELETE", "/v1/users/bob")
        assert served("bob")[0] not in ("published", "last_list")
        assert soon(seen(store, "bob", erased["offset"]), shop).items == []
    finally:
        shop.end()
        store.close()
