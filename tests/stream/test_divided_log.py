"""A divided, shared log: however it is read, in whatever pages and from wherever, the state is the same."""

from __future__ import annotations

import random
import uuid
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest

from engines.kafka import Kafka
from nearline.app.definition import App
from nearline.app.sections import Settings, Storage, Train
from nearline.app.tenant import Tenant
from nearline.batch.importing import import_dataset
from nearline.batch.training import train
from nearline.embedded.demo import shop_dataset
from nearline.embedded.in_process import at_time
from nearline.embedded.maintenance import maintain
from nearline.schema.clock import DAY, HOUR, VirtualClock
from nearline.schema.declared import Declaration
from nearline.schema.event import ERASE, Record
from nearline.schema.ids import key, partition_of
from nearline.schema.item import Item
from nearline.sim.world import ShopWorld
from nearline.stores.archive import archive, places
from nearline.stores.log import Log, Page
from nearline.stores.timeline import timeline
from nearline.stream.local import LocalStream

NOW = 1_790_000_000_000
PARTITIONS = 3


def divided(broker: Kafka, folder: Path, clock: VirtualClock, app: App | None = None, **train: object) -> Tenant:
    url = f"{broker.url}/{uuid.uuid4().hex[:8]}"
    settings = Settings(storage=Storage(path=str(folder), log=url, partitions=PARTITIONS), train=Train(every="", **train))  # type: ignore[arg-type]
    return at_time(Tenant(app or App(events=["view", "click", "purchase", "dislike"]), settings), clock)


def stream(n: int) -> list[Record]:
    """Return events of users and anonymous sessions; every tenth comes twice, some users are erased."""
    rng, out = random.Random(4), []
    for place in range(n):
        user, at = f"u{rng.randrange(40)}", NOW + place * HOUR // 50
        if rng.random() < 0.01:
            out.append(Record("", ERASE, user, "", at, at))
            continue
        known, kind = rng.random() < 0.8, rng.choice(["view", "click", "click", "purchase", "dislike"])
        who = user if known else ""
        event = Record(f"e{place}", kind, who, f"i{rng.randrange(30)}", at, at, "" if known else user, category="c")
        out += [event, msgspec.structs.replace(event, ingested_at=at + 1)] if rng.random() < 0.1 else [event]
    return out


def rows(stream: LocalStream) -> dict[str, object]:
    """Return all that is kept by user and item, in an order that does not depend on who came first."""
    state = stream.world.state
    users, items = np.argsort(state.users.keys), np.argsort(state.items.keys)
    out: dict[str, object] = {"offsets": state.offsets.tolist(), "catalog": stream.world.catalog.offset}
    out["presence"] = state.presence[users].tobytes()
    for name, fold in state.folds.items():
        out[name] = state.rows[name][users if fold.entity == "user" else items].tobytes()
    out["items"] = sorted(stream.world.catalog.items)
    out["declared"] = stream.world.declared.all()
    out["feedback"] = list(stream.world.showings.offsets)
    return out


def restored(tenant: Tenant, log: Log) -> LocalStream:
    stream = LocalStream(tenant)
    stream.restore(log)
    return stream


def test_however_it_is_read_the_state_is_the_same(broker: Kafka, tmp_path: Path) -> None:
    clock = VirtualClock(NOW + 5 * DAY)
    tenant = divided(broker, tmp_path / "one", clock)
    log, records = tenant.log(), stream(3000)
    for begin in range(0, len(records), 500):
        log.append({"user_events": records[begin : begin + 500]})
    items = [Record("", "put", "", f"i{k}", NOW, NOW, context=msgspec.json.encode(Item(f"i{k}")).decode()) for k in range(30)]
    # What others wrote to the topics and nobody can read is passed over.
    strange = [Record("", "put", "", "i99", NOW, NOW, context="not JSON"), Record("", "$poison", "", "", NOW, NOW)]
    log.append({"item_events": [*items, *strange, Declaration("list", "front", '{"item_ids":["i1"]}').record(NOW)]})
    log.append({"feedback": [Record("", "$impression", f"u{k}", "", NOW, NOW, context='{"items":["i1"]}') for k in range(9)]})
    whole = rows(restored(tenant, log))
    assert len(whole["items"]) == 30  # type: ignore[arg-type]

    # As a follower reads it: in pages that are cut anywhere, and that come again.
    follower, rng, pages = LocalStream(tenant), random.Random(1), []
    for topic, number in places(log):
        first, found = log.partition(number).read(topic, 0, 10_000)
        cuts = sorted({0, len(found), *(rng.randrange(len(found) + 1) for _ in range(6))})
        pages.append([Page(topic, number, first + a, found[a:b]) for a, b in pairwise(cuts)])
    while any(pages):
        own = rng.choice([one for one in pages if one])
        follower.take(own[0])
        if rng.random() < 0.8:
            own.pop(0)
    assert rows(follower) == whole

    # From the lake and the rest of the log; from a snapshot, and the rest of both.
    archive(log, tenant.lake, clock)
    assert rows(restored(tenant, log)) == whole
    for number in range(PARTITIONS):
        log.partition(number).trim("user_events", 10**9)
    restored(tenant, log).save()
    log.append({"user_events": [records[0], Record("later", "click", "u1", "i1", NOW + 4 * DAY, NOW + 4 * DAY)]})
    again = LocalStream(tenant)
    assert again.restore(log) == 2
    assert again.dropped == 0  # what came twice is as old as an id counts
    scratch = divided(broker, tmp_path / "two", clock)
    lake_only = LocalStream(Tenant(tenant.app, tenant.settings, tenant.name))
    lake_only.tenant.snapshots.folder.rename(tmp_path / "away")
    lake_only.restore(log)
    assert rows(lake_only) == rows(again)
    assert scratch.state_set == tenant.state_set

    # In one order, for batch: each visitor's own, and every event once.
    past = timeline(log, tenant.lake, tenant.kinds)
    assert (np.diff(past.events["offset"]) == 1).all()
    assert (np.diff(np.delete(past.events["ts"], np.flatnonzero(past.events["ts"] == NOW)[1:])) >= 0).all()
    plain = tenant.world()
    plain.apply(past.events)
    order, theirs = np.argsort(plain.state.users.keys), np.argsort(again.world.state.users.keys)
    assert plain.state.rows["history"][order].tobytes() == again.world.state.rows["history"][theirs].tobytes()
    number = partition_of(key("u1"), PARTITIONS)
    end = log.partition(number).end("user_events")
    assert past.at(key("u1"), end) == past.places[number][-1] + 1
    assert past.at(key("u1"), 0) == 0

    # Erased users leave every partition of the lake.
    maintain(tenant)
    gone = {record.user_id for record in records if record.event_type == ERASE}
    kept = [table for n in range(PARTITIONS) for table in tenant.lake.partition(n).scan("user_events")]
    last = {user: max(r.timestamp for r in records if r.event_type == ERASE and r.user_id == user) for user in gone}
    old = [
        (user, at)
        for table in kept
        for user, at, kind in zip(*(table[name].to_pylist() for name in ("user_id", "ingested_at", "event_type")), strict=True)
        if user in last and at <= last[user] and kind != ERASE
    ]
    assert old == []
    # Eight days later the log is trimmed to what the lake does not hold, but for the catalogue.
    later = at_time(Tenant(tenant.app, tenant.settings), VirtualClock(clock.now() + 400 * DAY))
    maintain(later)
    assert all(log.partition(n).start("user_events") == log.partition(n).end("user_events") for n in range(PARTITIONS))
    assert (log.start("item_events"), log.end("item_events")) == (0, 33)
    log.close()


@pytest.mark.timeout(280)
def test_a_divided_log_is_imported_to_and_trained_on(broker: Kafka, tmp_path: Path) -> None:
    world = ShopWorld(seed=3, users=200, items=250, bots=2)
    app = App(events=["seen", "view", "click", "add_to_cart", "purchase", "search", "dislike", "return", "rate"])
    tenant = divided(
        broker, tmp_path, VirtualClock(world.end_ms + 1), app, days=10, evaluate_days=3, examples=800, embeddings=16
    )
    dataset = shop_dataset(world, 10)
    n = import_dataset(tenant, dataset)
    log = tenant.log()
    assert sum(log.partition(number).end("user_events") for number in range(PARTITIONS)) == n
    restored_stream = restored(tenant, log)
    assert restored_stream.world.offset == n
    assert len(restored_stream.world.catalog) == len(dataset.items)
    log.close()
    said: list[str] = []
    outcome = train(tenant, said.append)
    assert outcome.manifest.metrics["release"]["ndcg@10"] > outcome.manifest.metrics["popularity"]["ndcg@10"], said
