"""The contract of subscribers, over all adapters; and what those promise that keep values."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import psycopg
import pytest
from confluent_kafka import Consumer
from redis import Redis

from engines.fixtures import Start
from engines.kafka import Kafka
from engines.postgresql import Postgresql
from engines.servers import Breakable, serving
from engines.valkey import Valkey
from engines.webhook import Webhook
from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.schema.result import Result
from nearline.schema.served import Explanation, ServedItem
from nearline.stores import results
from nearline.stores.adapters import schemes
from nearline.stores.subscriber import (
    ResultStore,
    Subscriber,
    SubscriberPlace,
    named,
    open_result_store,
    open_subscriber,
)

decode = msgspec.json.Decoder(Result).decode


@dataclass
class Case:
    """A subscriber, and how to read what it has: by user and surface the last that it got."""

    place: SubscriberPlace
    read: Callable[[], dict[tuple[str, str], Result]]

    def open(self) -> Subscriber:
        return open_subscriber(self.place)


def tenant() -> str:
    return f"t{uuid.uuid4().hex[:8]}"


def last(results: list[Result]) -> dict[tuple[str, str], Result]:
    return {(result.user_id, result.surface): result for result in results}


def file(request: pytest.FixtureRequest, folder: Path) -> Case:
    path = folder / "results.jsonl"
    return Case(
        SubscriberPlace("file:results.jsonl", folder), lambda: last([decode(line) for line in path.read_bytes().splitlines()])
    )


def http(request: pytest.FixtureRequest, folder: Path) -> Case:
    hook = Webhook()
    request.addfinalizer(hook.stop)
    return Case(SubscriberPlace(hook.url, folder), lambda: last(hook.got))


def kafka(request: pytest.FixtureRequest, folder: Path) -> Case:
    broker: Kafka = request.getfixturevalue("broker")
    topic = f"lists-{uuid.uuid4().hex[:8]}"
    return Case(SubscriberPlace(f"{broker.url}/{topic}", folder), lambda: last(consumed(broker, topic)))


def holding(place: SubscriberPlace) -> Case:
    def read() -> dict[tuple[str, str], Result]:
        store = open_result_store(place)
        found = [store.latest(user, surface) for user in ("ann", "bob", "zoë {1}") for surface in ("homepage", "email")]
        store.close()
        return last([result for result in found if result is not None])

    return Case(place, read)


def consumed(broker: Kafka, topic: str) -> list[Result]:
    consumer = Consumer(
        {"bootstrap.servers": urlsplit(broker.url).netloc, "group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    out: list[Result] = []
    quiet = time.monotonic() + 20
    while time.monotonic() < quiet:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            out.append(decode(message.value() or b""))
            assert (message.key() or b"").decode() == out[-1].user_id
            quiet = time.monotonic() + 1.5
    consumer.close()
    return out


PASSING: dict[str, Callable[[pytest.FixtureRequest, Path], Case]] = {"file": file, "http": http, "kafka": kafka}
"""Those that keep no values: what they got is read where it went."""
HOLDING = serving(results)


@pytest.fixture
def held(request: pytest.FixtureRequest, started: Start, tmp_path: Path) -> Case:
    return holding(SubscriberPlace(started(request.param).place(), tmp_path, tenant()))


@pytest.fixture(params=[*PASSING, *HOLDING])
def case(request: pytest.FixtureRequest, started: Start, tmp_path: Path) -> Case:
    if request.param in PASSING:
        return PASSING[request.param](request, tmp_path)
    return holding(SubscriberPlace(started(request.param).place(), tmp_path, tenant()))


def result(user: str, offset: int, made_at: int = 0, surface: str = "homepage", items: int = 2, title: str = "Tea") -> Result:
    shown = [
        ServedItem(
            f"i{k}",
            k + 1,
            0.5 / (k + 1),
            Explanation("covisit", 'Because of "i9"', "i9"),
            msgspec.Raw(msgspec.json.encode({"title": title})),
            "covisit",
            "Ad" if k else "",
        )
        for k in range(items)
    ]
    made_at = made_at or int(time.time() * 1000)
    return Result("default", user, surface, shown, offset, "r000002", made_at, f"{uuid.uuid4().hex[:24]}-{surface}")


def same(a: Result, b: Result) -> bool:
    return msgspec.json.encode(a) == msgspec.json.encode(b)


def test_every_adapter_has_a_case() -> None:
    assert set(schemes(results)) == {*PASSING, "https"} | {name.partition("-")[0] for name in HOLDING}


def test_results_arrive_whole_and_may_come_twice(case: Case) -> None:
    some = [result("ann", 3), result("ann", 3, surface="email"), result("bob", 0, title='a "b" \\ \0 ☃'), result("zoë {1}", 9)]
    to = case.open()
    assert to.deliver(some) == []
    assert to.deliver(some[:2]) == []  # again: at least once
    assert to.deliver([]) == []
    found = case.read()
    assert len(found) == 4
    assert all(same(found[one.user_id, one.surface], one) for one in some)
    newer = result("ann", 4)
    assert to.deliver([newer]) == []
    gone = result("bob", 5, items=0)
    assert to.deliver([gone]) == []
    to.close()
    assert same(case.read()["ann", "homepage"], newer)
    assert case.read()["bob", "homepage"].items == []


@pytest.mark.parametrize("held", HOLDING, indirect=True)
def test_what_is_kept_never_goes_back(held: Case) -> None:
    to, at = held.open(), int(time.time() * 1000)
    there = result("ann", 5, at)
    assert to.deliver([there]) == []
    for older in (result("ann", 4, at + 9), result("ann", 5, at - 1)):
        assert to.deliver([older]) == []
        assert same(held.read()["ann", "homepage"], there)
    # In one go, too, in whatever order.
    newest = result("ann", 6, at - 1)
    assert to.deliver([result("ann", 5, at + 3), newest, result("ann", 5, at + 4)]) == []
    assert same(held.read()["ann", "homepage"], newest)
    made_again = result("ann", 6, at)
    assert to.deliver([made_again]) == []
    assert same(held.read()["ann", "homepage"], made_again)
    to.close()


def test_who_listens_hears_of_what_changed(redis_server: Valkey, postgresql_server: Postgresql, tmp_path: Path) -> None:
    name, database = tenant(), postgresql_server.database()
    client = Redis.from_url(redis_server.url)
    listening = client.pubsub()  # type: ignore[no-untyped-call]
    listening.subscribe(f"{name}:lists")
    assert listening.get_message(timeout=5)["type"] == "subscribe"
    to = open_subscriber(SubscriberPlace(redis_server.url, tmp_path, name, keep_ms=60_000))
    new = result("ann", 5, 7)
    to.deliver([new, result("ann", 4, 9)])
    told = listening.get_message(timeout=5)
    expected = {"user_id": "ann", "surface": "homepage", "offset": 5, "request_id": new.request_id}
    assert msgspec.json.decode(told["data"]) == expected
    assert listening.get_message(timeout=0.3) is None  # nothing of the older one
    assert 0 < client.pttl(f"{name}:list:{{ann}}:homepage") <= 60_000
    listening.close()
    client.close()
    to.close()

    place = SubscriberPlace(database, tmp_path, name, keep_ms=60_000)
    to, store = open_subscriber(place), open_result_store(place)
    assert store.latest("ann", "homepage") is None  # no table yet
    now = int(time.time() * 1000)
    to.deliver([result("bob", 1)])
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("LISTEN nearline_lists")
        to.deliver([result("ann", 5, now), result("bob", 0, now)])
        notices = list(connection.notifies(timeout=2, stop_after=2))
        assert [msgspec.json.decode(notice.payload) for notice in notices] == [
            {"tenant": name, "user_id": "ann", "surface": "homepage"}
        ]
        rows = connection.execute("SELECT user_id, log_offset, list->'items'->0->>'item_id' FROM nearline_lists").fetchall()
        assert sorted(rows) == [("ann", 5, "i0"), ("bob", 1, "i0")]
    to.deliver([result("old", 1, now - 61_000)])
    assert store.latest("old", "homepage") is None
    store.close()
    to.close()


def test_a_webhook_refuses_fails_hangs_and_recovers(tmp_path: Path) -> None:
    hook = Webhook()
    to = open_subscriber(SubscriberPlace(hook.url, tmp_path, timeout=0.5))
    hook.by_user = {"bad": 422, "busy": 503, "lost": 404}
    failures = to.deliver([result("ann", 1), result("bad", 2), result("busy", 3), result("lost", 4), result("bob", 5)])
    assert [(failure.place, failure.final) for failure in failures] == [(1, True), (2, False), (3, False)]
    assert failures[0].reason == f"http://127.0.0.1:{hook.port} answered 422"
    assert [one.user_id for one in hook.got] == ["ann", "bob"]
    assert hook.headers["Authorization"] == "Basic d2hvOnBAc3M="
    assert hook.headers["Idempotency-Key"] == hook.got[-1].request_id
    hook.drops = True
    assert to.deliver([result("ann", 5), result("bob", 5)]) == []
    time.sleep(0.1)
    assert to.deliver([result("ann", 5), result("bob", 5)]) == []
    hook.drops = False
    hook.hangs, asked = 2.0, hook.asked
    began = time.monotonic()
    failures = to.deliver([result("ann", 6), result("bob", 6)])
    assert time.monotonic() - began < 1.5  # the second is not waited for
    assert [failure.place for failure in failures] == [0, 1]
    assert hook.asked == asked + 1, "a silent one is not asked twice"
    hook.stop()
    hook.hangs = 0.0
    failures = to.deliver([result("ann", 7)])
    assert "does not answer" in failures[0].reason
    assert "p@ss" not in str(failures)
    assert "key=1" not in str(failures)
    hook.start()
    assert to.deliver([result("ann", 8)]) == []
    assert hook.got[-1].offset == 8
    to.close()
    hook.stop()


@pytest.mark.parametrize("server", serving(results, breaks=True), indirect=True)
def test_a_store_that_hangs_says_so_in_time(server: Breakable, tmp_path: Path) -> None:
    place = SubscriberPlace(server.place(), tmp_path, tenant(), timeout=0.5)
    to, store = open_subscriber(place), open_result_store(place)
    until = time.monotonic() + 20
    while True:
        try:
            to.deliver([result("ann", 1)])
            assert store.latest("ann", "homepage") is not None
            break
        except StoreUnavailableError:
            assert time.monotonic() < until
    server.freeze()
    try:
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            store.latest("ann", "homepage")
        with pytest.raises(StoreUnavailableError):
            to.deliver([result("ann", 2)])
        assert time.monotonic() - began < 3
    finally:
        server.thaw()
    to.close()
    store.close()


def test_brokers_that_are_not_there_are_no_loss(tmp_path: Path) -> None:
    to = open_subscriber(SubscriberPlace("kafka://127.0.0.1:9/lists", tmp_path, timeout=0.5))
    with pytest.raises(StoreUnavailableError, match=r"kafka://127\.0\.0\.1:9/lists"):
        to.deliver([result("ann", 1)])
    to.close()


@pytest.mark.parametrize("url", ["pigeon://loft", "http:///path", "file:", "kafka:///lists"])
def test_what_is_no_subscriber_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(NearlineError, match=r"publish\.to"):
        open_subscriber(SubscriberPlace(url, tmp_path))


def test_what_keeps_nothing_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(NearlineError, match=r"storage\.results .* keeps values"):
        open_result_store(SubscriberPlace("file:lists.jsonl", tmp_path))
    assert not isinstance(open_subscriber(SubscriberPlace("http://h/x", tmp_path)), ResultStore)


def test_names_hold_no_secrets() -> None:
    assert named("https://u:p@hooks.example:8443/T0/secret?x=y") == "https://hooks.example:8443"
    assert named("kafka://h1:1,h2:2/lists?sasl.password=x") == "kafka://h1:1,h2:2/lists"
