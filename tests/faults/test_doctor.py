"""`nearline doctor` beside real systems: what is well, what was broken on purpose, and where it is time to grow."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from server_process import Server, items

from engines.kafka import Kafka
from engines.valkey import Valkey
from nearline.app.tenant import Tenant
from nearline.embedded.checkups.growth import Size, next_step, stage_of
from nearline.embedded.doctor import examine
from nearline.schema.clock import HOUR
from nearline.schema.event import Record
from nearline.serving.metrics import Metrics
from nearline.serving.scraped import Scraped, scraped


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


def due(tenant: Tenant, server: Scraped | None = None) -> tuple[str, str]:
    """Return the next step that is named, and the numbers that ask for it; "" for none."""
    found = [(one.what, one.value) for one in examine(tenant, server) if one.level == "grow"]
    return found[0] if found else ("", "")


def test_what_is_stored_names_the_next_step(tmp_path: Path) -> None:
    tenant = Server(tmp_path).tenant()
    log, now = tenant.log(), tenant.clock.now()
    try:
        # Events of this morning count, but say nothing of the rate.
        old = [Record("", "click", f"u{n % 999}", f"i{n % 99}", now - 3 * HOUR, now - 3 * HOUR) for n in range(999_999)]
        log.append({"user_events": old})
        assert due(tenant) == ("", "")
        log.append({"user_events": old[:1]})
        what, why = due(tenant)
        assert (what, why) == ("next: stage 1, log and rows in SQL", "1,000,000 events (from 1,000,000 on)")
        # 5,000 a second for a minute, by their time of arrival.
        now = tenant.clock.now()
        log.append({"user_events": [msgspec.structs.replace(one, ingested_at=now) for one in old[:300_000]]})
        what, why = due(tenant)
        assert what == "next: stage 2, rows in Redis, training by night"
        assert re.fullmatch(r"5,\d{3} events/s \(from 5,000 on\)", why)
        for n, (stage, name) in {100_000: (2, "rows in Redis"), 1_000_000: (3, "Kafka, and an approximate index")}.items():
            log.append({"item_events": [Record("", "$item", "", f"i{k}", now, now) for k in range(log.end("item_events"), n)]})
            what, why = due(tenant)
            assert what.startswith(f"next: stage {stage}, {name}")
            assert f"{n:,} items (from {n:,} on)" in why
    finally:
        log.close()


def test_what_canary_queries_and_shards_came_to_is_told(tmp_path: Path) -> None:
    tenant = Server(tmp_path, {"STORAGE_VECTORS": "faiss:?index=ivf_sq8&shards=4"}).tenant()

    def found(text: str) -> tuple[str, str]:
        (one,) = (one for one in examine(tenant, scraped(text)) if one.what == "vectors")
        return one.level, one.value

    assert found("nearline_vectors_refused 0\n")[0] == "ok"
    level, value = found("nearline_vectors_refused 1\nnearline_vectors_recall 0.42\n")
    assert (level, "found 0.420 of the nearest" in value) == ("wrong", True)
    level, value = found("nearline_vectors_shards_missing 2\n")
    assert (level, "2 shards do not answer" in value) == ("warning", True)


SLOW = """
import time
from nearline import App
from nearline.sources.trending import TrendingSource

class SlowSource(TrendingSource):
    left = 4
    def fetch(self, query, user, k):
        if self.left:
            self.left -= 1
            time.sleep(0.4)
        return super().fetch(query, user, k)

app = App(name="slow", events=["click"], sources=[SlowSource()])
"""


def test_what_a_server_says_names_the_next_step(tmp_path: Path) -> None:
    patient = {"BUDGET_TOTAL_MS": 9900, "BUDGET_CANDIDATES_MS": 9000, "TRAIN_EVERY": ""}
    server = Server(tmp_path, patient, SLOW)
    server.start()
    try:
        assert server.ask("POST", "/v1/items", items(100))[0] == 200
        url = ("--url", f"http://127.0.0.1:{server.port}")
        for n in range(110):
            assert server.ask("GET", f"/v1/recommendations?user_id=u{n}")[0] == 200
            if n == 90:  # too few to say anything
                assert not [one for one in ask(server, 0, *url).values() if one["level"] == "grow"]
        found = ask(server, 0, *url)["next: stage 1, log and rows in SQL"]
        assert found["value"].endswith("ms at the lists' p99 (from 200 on)")
        assert "PostgreSQL" in found["remedy"]
        many = items(100_000)
        for first in range(0, len(many), 1000):
            assert server.ask("POST", "/v1/items", many[first : first + 1000])[0] == 200
        found = ask(server, 0, *url)["next: stage 2, rows in Redis, training by night"]
        assert found["value"] == "100,000 items (from 100,000 on)"
        assert "nearline stream" in found["remedy"]
        assert "nearline train by cron" in found["remedy"]
    finally:
        server.end()
    # A hundred million visitors don't fit here; the server's own page says so many.
    said = scraped(Metrics().render({"nearline_visitors": 1e8, "nearline_catalog_items": 1e6}).decode())
    assert due(server.tenant(), said)[0] == "next: stage 4, Flink and Spark"
    few = scraped(Metrics().render({"nearline_visitors": 1e8 - 1, "nearline_catalog_items": 1e6}).decode())
    assert due(server.tenant(), few)[0] == "next: stage 3, Kafka, and an approximate index"


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
