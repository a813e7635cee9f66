"""The driver in front of a tiny real server on loopback."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import numpy as np
import pytest

from nearline.schema.clock import DAY
from nearline.schema.errors import NearlineError
from nearline.sim.client import Client
from nearline.sim.driver import drive
from nearline.sim.world import ShopWorld

Recommend = Callable[[str, int], list[str]]


class Shop:
    """Serves what `recommend` says and keeps what it is told; answers each `fail`-th request `status`."""

    def __init__(self, recommend: Recommend, fail: int = 0, status: int = 503) -> None:
        self.recommend, self.fail, self.status = recommend, fail, status
        self.requests, self.lists = 0, dict[str, list[str]]()
        self.queries: list[dict[str, str]] = []
        self.events: list[dict[str, Any]] = []

    @contextmanager
    def running(self) -> Iterator[str]:
        shop = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                query = dict(parse_qsl(urlsplit(self.path).query))
                if self.busy() or not self.path.startswith("/shop/v1/recommendations?"):
                    return
                shop.queries.append(query)
                items = shop.recommend(query["user_id"], int(query["page_size"]))
                request_id = f"q{len(shop.lists)}"
                shop.lists[request_id] = items
                ranked = [{"item_id": item, "rank": n, "score": 0.5} for n, item in enumerate(items, 1)]
                self.answer(200, {"request_id": request_id, "items": ranked, "served_from": "test"})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.busy():
                    return
                assert self.path == "/shop/v1/events"
                assert self.headers["X-Key"] == "secret"
                shop.events += msgspec.json.decode(body)
                self.answer(202, {"accepted": True})

            def busy(self) -> bool:
                shop.requests += 1
                if not shop.fail or shop.requests % shop.fail:
                    return False
                self.answer(shop.status, {}, {"Retry-After": "7"})
                return True

            def answer(self, status: int, value: object, headers: dict[str, str] | None = None) -> None:
                body = msgspec.json.encode(value)
                self.send_response(status)
                for name, text in {"Content-Length": str(len(body)), **(headers or {})}.items():
                    self.send_header(name, text)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/shop"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


KEY = {"X-Key": "secret"}


@pytest.fixture(scope="module")
def world() -> ShopWorld:
    return ShopWorld(seed=11, users=300, items=600)


@pytest.fixture
def randomly(world: ShopWorld) -> Recommend:
    rng = np.random.default_rng(5)
    return lambda _, k: [world.items[row].item_id for row in rng.choice(len(world.items), k, replace=False)]


def test_ideal_lists_beat_random_ones(world: ShopWorld, randomly: Recommend) -> None:
    poor, rich = Shop(randomly), Shop(lambda user, k: world.ideal_list(user, k=k))
    with poor.running() as url:
        low = drive(url, world, 3, headers=KEY)
    with rich.running() as url:
        high = drive(url, world, 3, headers=KEY)

    assert low.errors == high.errors == low.short == high.short == low.retries == 0
    assert low.lists == high.lists > 300
    assert high.ctr > 4 * low.ctr
    for day in range(3):
        assert high.days[day].ctr > 3 * low.days[day].ctr > 0
        assert high.days[day].ctr > high.days[day].ctr_served > 0
    assert high.purchases > 3 * low.purchases
    assert low.lasting.attained == pytest.approx(0, abs=0.05)
    assert high.lasting.regret == pytest.approx(0, abs=1e-5)
    assert high.lasting.attained == pytest.approx(1)
    assert 0.5 < high.session.attained < 1  # nobody told the server what the session is after
    assert 0 < high.p50_ms <= high.p99_ms
    assert 0 < high.post_p50_ms <= high.post_p99_ms


def test_what_is_sent_is_what_clients_send(world: ShopWorld) -> None:
    shop = Shop(lambda user, k: world.ideal_list(user, k=k))
    with shop.running() as url:
        report = drive(url, world, 2, headers=KEY, max_sessions=40, page_size=10)
    assert set(shop.queries[0]) == {"user_id", "context", "page_size", "session_id", "device"}
    assert shop.queries[0]["context"] == "homepage"
    assert report.events == len(shop.events)
    assert [event["event_id"] for event in shop.events] == [f"sim-11-r0-{n}" for n in range(len(shop.events))]
    assert len({query["session_id"] for query in shop.queries}) == 80

    depth = Counter[str]()
    for event in shop.events:
        where = event["context"]
        served = shop.lists[where["request_id"]]
        assert world.end_ms <= event["timestamp"] < world.end_ms + 2.2 * DAY
        if event["event_type"] in {"seen", "click"}:
            assert served[where["position"] - 1] == event["item_id"]
            assert where["page"] == "homepage"
        else:
            assert event["item_id"] in served
        if event["event_type"] == "seen":
            depth[where["request_id"]] += 1
            assert depth[where["request_id"]] == where["position"]  # from the top, without gaps
    kinds = Counter(event["event_type"] for event in shop.events)
    assert kinds["seen"] == sum(day.seen for day in report.days) == sum(depth.values())
    assert kinds["click"] == kinds["view"] == sum(day.clicks for day in report.days)
    assert kinds["purchase"] == report.purchases
    assert len(depth) == report.lists == len(shop.lists)


def test_the_server_may_assign_the_time_and_runs_are_told_apart(world: ShopWorld, randomly: Recommend) -> None:
    shop = Shop(randomly)
    with shop.running() as url:
        drive(url, world, headers=KEY, timestamps="server", max_sessions=5)
        drive(url, world, headers=KEY, timestamps="server", max_sessions=5, run=1)
    assert all("timestamp" not in event for event in shop.events)
    assert len({event["event_id"] for event in shop.events}) == len(shop.events)


def test_the_same_server_gets_the_same_bytes(world: ShopWorld) -> None:
    told = []
    for _ in range(2):
        shop = Shop(lambda user, k: world.ideal_list(user, k=k))
        with shop.running() as url:
            drive(url, world, headers=KEY, max_sessions=30)
        told.append(msgspec.json.encode([shop.queries, shop.events]))
    assert told[0] == told[1]


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again_when_it_says(world: ShopWorld, randomly: Recommend, status: int) -> None:
    waits: list[float] = []
    shop = Shop(randomly, fail=5, status=status)
    with shop.running() as url:
        client = Client(url, KEY, longest_wait=3.0, sleep=waits.append)
        report = drive(url, world, max_sessions=10, client=client)
        assert report.errors == 0
        assert report.retries == len(waits) == shop.requests // 5 > 0
        assert set(waits) == {3.0}  # 7 s asked, 3 s allowed
        shop.fail = 1
        before = len(waits)
        report = drive(url, world, max_sessions=10, client=client)
        assert (report.errors, report.lists, len(waits) - before) == (10, 0, 40)
        client.close()


def test_wrong_answers_are_counted_and_silence_is_an_error(world: ShopWorld) -> None:
    shop = Shop(lambda user, k: ["nothing", *world.ideal_list(user, k=2)])
    with shop.running() as url:
        report = drive(url, world, max_sessions=10, headers=KEY)
        assert report.errors == report.short == report.lists > 0
        shop.fail, shop.status = 1, 500
        assert drive(url, world, max_sessions=10, headers=KEY).errors == 10
    with pytest.raises(NearlineError, match="nothing answers"):
        drive(url, world, client=Client(url, sleep=lambda _: None))
    with pytest.raises(NearlineError, match="base_url"):
        drive("127.0.0.1:8000", world)
