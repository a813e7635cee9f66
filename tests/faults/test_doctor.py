"""`nearline doctor` beside real systems: what is well, what was broken on purpose, and where it is time to grow."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from server_process import Server, items

from engines.kafka import Kafka
from engines.valkey import Valkey
from nearline.embedded.checkups.growth import Size, next_step, stage_of
from nearline.serving.scraped import scraped


def ask(server: Server, status: int, *arguments: str) -> dict[str, dict[str, Any]]:
    """Return findings by what they are about."""
    said = server.run("doctor", "--json", *arguments, status=status)
    # A worker's lines are in the same output.
    listed, _ = json.JSONDecoder().raw_decode(said, said.index("[\n"))
    return {found["what"]: found for found in listed}


def test_an_embedded_system_running_and_stopped(tmp_path: Path) -> None:
    server = Server(tmp_path, {"TRAIN_EVERY": ""})
    server.start()
    try:
        assert server.ask("POST", "/v1/items", items(40))[0] == 200
        events = [{"user_id": f"u{n % 9}", "event_type": "click", "item_id": f"i{n % 40}"} for n in range(50)]
        assert server.ask("POST", "/v1/events", {"events": events})[0] == 202
        found = ask(server, 0, "--url", f"http://127.0.0.1:{server.port}")
        assert found["lag of the state"]["value"] == "0 events"
        assert found["stage 0"]["value"].startswith("50 events, 40 items")
        assert "9 visitors" in found["stage 0"]["value"]
        assert {one["level"] for one in found.values()} <= {"ok", "warning"}
        text = server.run("doctor")
        assert "nothing is wrong" in text
    finally:
        server.end()
    found = ask(server, 0)
    assert found["server"]["value"].startswith("none answers")
    assert found["log"]["value"].endswith("50 events, 0.8/s lately") or "50 events" in found["log"]["value"]
    assert "wait" in found["archive"]["value"]
    # An import that was broken off, and a release of other features.
    (tmp_path / "data/default/importing.json").write_text('{"dataset":"d","digest":"","items_from":0}')
    found = ask(server, 1)
    assert found["import"]["level"] == "wrong"
    assert "run it again" in found["import"]["remedy"]


@pytest.fixture
def shop(broker: Kafka, redis_server: Valkey, tmp_path: Path) -> Server:
    redis_server.say("FLUSHALL")
    log = f"{broker.url}/{uuid.uuid4().hex[:8]}"
    return Server(tmp_path, {"STORAGE_LOG": log, "STORAGE_PARTITIONS": 2, "STORAGE_STATE": redis_server.url})


def test_engines_are_asked_themselves(shop: Server, redis_server: Valkey) -> None:
    shop.start()
    worker = shop.command("stream")
    try:
        assert shop.ask("POST", "/v1/items", items(10))[0] == 200
        url = f"http://127.0.0.1:{shop.port}"
        found = ask(shop, 0, "--url", url)
        name = f"Redis {redis_server.port}"
        assert found[f"{name}: append-only file"]["value"] == "on"
        assert found["Kafka's copies"]["value"] == "1 of each partition on 1 brokers"
        assert found["stage 3"]["level"] == found["stream"]["level"] == "ok"
        # Without the append-only file, and with keys that may be dropped.
        redis_server.say("CONFIG", "SET", "appendonly", "no")
        redis_server.say("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        found = ask(shop, 1, "--url", url)
        assert found[f"{name}: append-only file"]["level"] == "wrong"
        assert found[f"{name}: maxmemory-policy"]["value"] == "allkeys-lru"
        assert "noeviction" in found[f"{name}: maxmemory-policy"]["remedy"]
        # Rows that are ahead of the log are another log's.
        redis_server.say("SET", "default:progress:1", "1000")
        assert "of another log" in ask(shop, 1)["stream"]["why"]
    finally:
        redis_server.say("CONFIG", "SET", "appendonly", "yes")
        redis_server.say("CONFIG", "SET", "maxmemory-policy", "noeviction")
        worker.terminate()
        worker.wait(30)
        shop.end()


def test_what_is_out_of_reach_is_said_soon_and_the_rest_is_looked_at(shop: Server, broker: Kafka) -> None:
    shop.settings["NEARLINE_STORAGE_STATE"] = "redis://127.0.0.1:1/0"
    found = ask(shop, 1)
    assert found["log"]["level"] == "wrong"  # no topics yet
    assert "does not answer" in found["Redis"]["value"]
    assert found["disk"]["value"]
    # Topics with another number of partitions, and that drop events too early.
    prefix = shop.settings["NEARLINE_STORAGE_LOG"].rpartition("/")[2]
    names = [f"{prefix}.default.{name}" for name in ("user_events", "feedback", "item_events")]
    topics = [NewTopic(name, 3, config={"retention.ms": "3600000"}) for name in names]
    admin = AdminClient({"bootstrap.servers": broker.url.removeprefix("kafka://")})
    for made in admin.create_topics(topics).values():
        made.result()
    found = ask(shop, 1)
    assert "has 3" in found["log"]["remedy"]
    assert "retention.ms" in found[f"Kafka keeps {prefix}.default.user_events"]["remedy"]
    shop.settings["NEARLINE_STORAGE_LOG"] = "kafka://127.0.0.1:1"
    assert ask(shop, 1)["log"]["level"] == "wrong"


def test_the_next_step_is_the_highest_that_a_number_asks_for() -> None:
    assert next_step(0, Size(events=999_999, items=99_999, rate=4_999, p99_ms=199)) is None
    for size, stage in [
        (Size(events=1_000_000), 1), (Size(p99_ms=200), 1), (Size(items=100_000), 2), (Size(rate=5_000), 2),
        (Size(events=10**7, items=10**6), 3), (Size(visitors=10**8, items=10**6), 4),
    ]:  # fmt: skip
        due = next_step(0, size)
        assert due is not None
        assert due[0].stage == stage
    assert next_step(3, Size(events=10**7, items=10**6, rate=10**5)) is None
    settings = [
        ("sqlite:", "memory:"),
        ("postgresql://h/d", "postgresql://h/d"),
        ("postgresql://h/d", "redis+cluster://h"),
        ("kafka://h", "redis://h"),
    ]
    assert [stage_of(*urls) for urls in settings] == [0, 1, 2, 3]


def test_quantiles_of_what_a_server_says() -> None:
    text = "# TYPE t histogram\n" + "".join(
        f't_bucket{{endpoint="/a",le="{bound}"}} {count}\n' for bound, count in [("0.1", 50), ("0.2", 90), ("+Inf", 100)]
    )
    found = scraped(text + 't_count{endpoint="/a"} 100\nt_sum{endpoint="/a"} 9\n# TYPE g gauge\ng 7\n')
    assert found.quantile("t", "/a", 0.5) == (0.1, 100)
    assert found.quantile("t", "/a", 0.7)[0] == pytest.approx(0.15)
    assert found.quantile("t", "/a", 0.99)[0] == 0.2
    assert found.quantile("t", "/b", 0.99) == (0.0, 0.0)
    assert (found.value("g"), found.value("none")) == (7.0, 0.0)
