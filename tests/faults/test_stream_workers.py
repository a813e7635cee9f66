"""Stream workers: real processes that share a log out, killed and started; rows must be those of one who read it alone."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
import uuid
from pathlib import Path
from urllib.request import urlopen

import msgspec
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from server_process import Server

from engines.fixtures import Start
from engines.kafka import Kafka
from engines.process import free_ports
from engines.servers import serving
from engines.valkey import Valkey
from nearline.features.presence import PRESENCE
from nearline.schema.event import ERASE, Record
from nearline.schema.ids import visitor_key
from nearline.stores import users
from nearline.stores.encode import events_from_records
from nearline.stores.log import routed
from nearline.stores.user_rows import UserRow

KILLS = 50 if os.environ.get("FULL_TESTS") else 3
PARTITIONS = 4
NOW = 1_790_000_000_000
HEAD = PRESENCE.itemsize


def stream(seed: int, n: int) -> list[Record]:
    """Return events of many visitors; some come twice, some visitors are erased."""
    rng, out = random.Random(seed), []
    for place in range(n):
        user, at = f"u{rng.randrange(300)}", NOW + place * 1000
        if rng.random() < 0.003:
            out.append(Record("", ERASE, user, "", at, at))
            continue
        kind = rng.choice(["view", "click", "click", "purchase", "dislike"])
        event = Record(f"e{seed}-{place}", kind, user, f"i{rng.randrange(60)}", at, at, f"s-{user}", category="c", price=2.0)
        out.append(event)
        if rng.random() < 0.05:
            out.append(msgspec.structs.replace(event, ingested_at=at + 1))
    return out


@pytest.fixture(params=serving(users))
def shop(request: pytest.FixtureRequest, started: Start, tmp_path: Path) -> Server:
    server = started(request.param)
    url = server.place()
    if request.param == "postgresql":
        return Server(tmp_path, {"STORAGE_LOG": url, "STORAGE_STATE": url})
    broker: Kafka = request.getfixturevalue("broker")
    settings = {"STORAGE_LOG": f"{broker.url}/{uuid.uuid4().hex[:8]}", "STORAGE_PARTITIONS": PARTITIONS, "STORAGE_STATE": url}
    if request.param.startswith("redis"):
        server.empty(url)  # tenants of one Redis are told apart by their names alone, and this one's is always the same
    return Server(tmp_path, settings)


def expected(shop: Server, records: list[Record]) -> dict[int, UserRow]:
    """Return the rows of one who reads each partition alone, by visitor."""
    tenant, out = shop.tenant(), {}
    for _, _, own in routed({"user_events": records}, tenant.settings.storage.partitions):
        once = {record.event_id or f"#{place}": record for place, record in reversed(list(enumerate(own)))}
        events = events_from_records(own, 0, tenant.kinds)[
            [record is once[record.event_id or f"#{place}"] for place, record in enumerate(own)]
        ]
        state = tenant.user_state()
        state.apply(events)
        visitors = np.unique(events["user"])
        slots = state.users.find(visitors)
        hot, history = state.pull(slots)
        for place, visitor in enumerate(visitors.tolist()):
            packed = hot[place].tobytes()
            if state.presence["last"][slots[place]]:
                out[visitor] = UserRow(visitor, packed, packed[:HEAD] + history[place].tobytes())
            else:
                head = np.zeros(1, PRESENCE)
                head["offset"] = events["offset"][events["user"] == visitor].max()
                out[visitor] = UserRow(visitor, head.tobytes())
    return out


def test_rows_are_those_of_one_reader_whoever_is_killed(shop: Server) -> None:
    tenant, rng = shop.tenant(), random.Random(7)
    log, store = tenant.log(), tenant.user_rows(5.0)
    workers: list[subprocess.Popen[bytes]] = [shop.command("stream") for _ in range(2)]
    records: list[Record] = []
    try:
        for turn in range(KILLS):
            some = stream(turn, 1500)
            for begin in range(0, len(some), 300):
                log.append({"user_events": some[begin : begin + 300]})
                time.sleep(0.05)
            records += some
            time.sleep(rng.uniform(0.0, 3.0))
            victim = workers.pop(rng.randrange(len(workers)))
            victim.kill()
            victim.wait()
            workers.append(shop.command("stream"))
        ends = {number: log.partition(number).end("user_events") for number in range(log.partitions)}
        until = time.monotonic() + 90
        while store.read([1], list(ends))[1] != list(ends.values()) and time.monotonic() < until:
            time.sleep(0.1)
        assert store.read([1], list(ends))[1] == list(ends.values()), shop.output()[-3000:]
        wanted = expected(shop, records)
        assert visitor_key("u1", "") in wanted
        found = {row.visitor: row for row in store.read(list(wanted))[0]}
        assert found == wanted
    finally:
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
        for worker in workers:
            worker.wait(30)
        log.close()
        store.close()


def scraped(port: int) -> dict[str, float]:
    """Return what a worker's metrics say, and by partition where they are by partition."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        samples = [sample for family in text_string_to_metric_families(answer.read().decode()) for sample in family.samples]
    return {":".join([sample.name, *sample.labels.values()]): sample.value for sample in samples}


def test_a_worker_that_ends_while_the_store_is_away_leaves_its_events_to_the_next(broker: Kafka, tmp_path: Path) -> None:
    rows = Valkey(tmp_path / "valkey")
    log_url = f"{broker.url}/{uuid.uuid4().hex[:8]}"
    shop = Server(tmp_path, {"STORAGE_LOG": log_url, "STORAGE_PARTITIONS": PARTITIONS, "STORAGE_STATE": rows.url})
    tenant, records = shop.tenant(), stream(1, 600)
    log, store = tenant.log(), tenant.user_rows(5.0)
    try:
        log.append({"user_events": records})
        (port,) = free_ports(1)
        worker = shop.command("stream", "--metrics", f"127.0.0.1:{port}")
        until = time.monotonic() + 90
        while "the store does not answer" not in shop.output():
            assert time.monotonic() < until, shop.output()[-3000:]
            time.sleep(0.1)
        assert scraped(port)["nearline_stream_rows_answer"] == 0
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
        rows.start()
        worker = shop.command("stream", "--metrics", f"127.0.0.1:{port}")
        ends = {number: log.partition(number).end("user_events") for number in range(PARTITIONS)}
        until = time.monotonic() + 90
        while store.read([1], list(ends))[1] != list(ends.values()) and time.monotonic() < until:
            time.sleep(0.1)
        wanted = expected(shop, records)
        assert {row.visitor: row for row in store.read(list(wanted))[0]} == wanted
        found = scraped(port)
        assert found["nearline_stream_partitions"] == PARTITIONS
        assert {found[f"nearline_stream_lag_events:{n}"] for n in range(PARTITIONS)} == {0}
        assert found["nearline_stream_rows_answer"] == 1
        assert found["nearline_stream_events_total"] + found["nearline_stream_duplicates_total"] == len(records)
        assert found["nearline_stream_duplicates_total"] > 0
    finally:
        worker.kill()
        worker.wait()
        rows.kill()
        log.close()
        store.close()
