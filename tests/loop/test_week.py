"""The whole loop in virtual time: import, list, click, other list, a week of visitors, train on it, other list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow.compute as pc
import pytest

from nearline.app.definition import App
from nearline.app.sections import Budget, Impressions, Settings, Storage, Train
from nearline.app.tenant import Tenant
from nearline.batch.importing import import_dataset
from nearline.batch.training import train
from nearline.batch.verifying import verify
from nearline.embedded.demo import shop_dataset
from nearline.embedded.engine import Engine
from nearline.embedded.in_process import InProcess, at_time
from nearline.embedded.maintenance import maintain
from nearline.schema.clock import DAY, HOUR, MINUTE, VirtualClock
from nearline.schema.event import ERASE, TOPICS, EventType
from nearline.schema.ids import key
from nearline.schema.query import Query
from nearline.schema.served import Served
from nearline.serving.metrics import Metrics
from nearline.sim.driver import drive
from nearline.sim.world import ShopWorld

USERS, ITEMS, PAST = 250, 300, 14
SHOP = App(
    events=[
        "seen", "view", "click", "add_to_cart", "purchase", "search", "dislike", "return",
        EventType("rate", weight=1, role="none"),
    ],
    weights={"click": 1.0, "purchase": 8.0},
)  # fmt: skip


def names(served: Served) -> list[str]:
    return [item.item_id for item in served.items]


@pytest.mark.timeout(280)
def test_a_week_of_the_loop(tmp_path: Path) -> None:
    world = ShopWorld(seed=3, users=USERS, items=ITEMS, bots=2)
    clock = VirtualClock(world.end_ms + 1)
    settings = Settings(
        storage=Storage(path=str(tmp_path), durability="relaxed"),
        # Nothing is ever late here: what is looked at is what is learned.
        budget=Budget(20_000, 20_000, 20_000, 20_000, 20_000),
        train=Train(every="", days=14, evaluate_days=4, examples=1_500, embeddings=16),
        impressions=Impressions(features=True),
    )

    def tenant() -> Tenant:
        return at_time(Tenant(SHOP, settings), clock)

    import_dataset(tenant(), shop_dataset(world, PAST))
    engine = Engine(tenant(), Metrics())
    client = InProcess(engine, clock)
    client.do(engine.open())

    def ask(user: str, log: bool = False) -> Served:
        return client.do(engine.recommend(Query(key(user), clock.now(), user_id=user, page_size=10, log=log)))

    def tell(user: str, kind: str, item: str, **more: Any) -> None:
        body = msgspec.json.encode([{"user_id": user, "event_type": kind, "item_id": item, "timestamp": clock.now(), **more}])
        assert client.post("/v1/events", body).status == 202

    try:
        # Imported history serves before anything is learned.
        someone, other = world.people.ids[5], world.people.ids[6]
        first = ask(someone)
        assert (first.model_version, first.served_from) == ("none", "retrieval")
        told: list[str] = []
        outcome = train(tenant(), told.append)
        assert outcome.published, told
        assert outcome.manifest.examples.endswith("sampled later events")
        assert client.do(engine.reload()) == "r000001"
        ranked = ask(someone)
        assert (ranked.model_version, ranked.served_from) == ("r000001", "ranker")

        # A click makes the very next list another one, and not that of others; what trends may swap two of theirs.
        before, others = ask(someone), ask(other)
        tell(someone, "click", names(before)[7])
        after = ask(someone)
        assert names(after) != names(before)
        assert after.offset == before.offset + 1
        assert sorted(names(ask(other))) == sorted(names(others))

        # A week of visitors; half of it is archived meanwhile.
        page_errors = 0
        for day in range(7):
            report = drive("", world, 1, start_ms=world.end_ms + day * DAY, page_size=10, run=day, rate=1.0, client=client)
            page_errors += report.errors
            assert report.lists > 0
            if day == 3:
                maintain(tenant())
        assert page_errors == 0
        assert set(client.degraded) == {"ranker"}
        assert engine.impressions_lost == 0

        # What was served is what a replay computes, exactly.
        log = tenant().log(read_only=True)
        try:
            assert tenant().lake.end("feedback") > 0
            report_ = verify(tenant(), log)
        finally:
            log.close()
        assert report_.equal, report_.text()
        assert report_.lists > 500
        assert report_.skipped == 0
        assert report_.values > report_.lists * 100

        # Who comes back after two days is not cold, though the hot row is gone.
        clock.time = max(clock.time, world.end_ms + 7 * DAY)
        back = world.people.ids[8]
        tell(back, "click", world.items[10].item_id)
        tell(back, "view", world.items[11].item_id)
        clock.advance(2 * DAY + HOUR)
        user = engine.world.hydrate(key(back), clock.now())
        hot = [fold for fold in engine.world.state.folds.values() if fold.entity == "user" and fold.tier == "hot"]
        assert hot
        assert all(not user.rows[fold.name].tobytes().strip(b"\0") for fold in hot)
        assert user.rows["history"]["count"][0] >= 2
        warm, cold = ask(back), ask("never-seen")
        assert {item.rec_source for item in warm.items} & {"covisit", "als", "content", "history"}
        assert {item.rec_source for item in cold.items} <= {"segment", "trending"}
        assert names(warm) != names(cold)

        # Two users go: the lists at once, the next release though the lake still has them, then the lake.
        gone = [u for u in world.people.ids[20:60] if client.do(engine.user(u)) is not None][:2]
        lists = {u: names(ask(u, log=True)) for u in gone}
        clock.advance(MINUTE)
        for u in gone:
            client.do(engine.erase_user(u))
            assert client.do(engine.user(u)) is None
            assert engine.world.hydrate(key(u), clock.now()).rows["history"]["count"][0] == 0
            assert names(ask(u)) == names(ask("never-seen"))
            assert names(ask(u)) != lists[u]
        clock.advance(MINUTE)
        same_moment = {u: names(ask(u)) for u in world.people.ids[60:120]}
        told.clear()
        outcome = train(tenant(), told.append)
        assert outcome.published, told
        assert " logged impressions and " in outcome.manifest.examples
        assert outcome.manifest.dropped["erased by their user"] > 2
        assert outcome.manifest.parent == "r000001"
        assert client.do(engine.reload()) == "r000002"
        now = {u: ask(u) for u in same_moment}
        assert {served.model_version for served in now.values()} == {"r000002"}
        assert sum(names(served) != same_moment[u] for u, served in now.items()) > len(now) // 2

        maintain(tenant())
        lake = tenant().lake
        for topic in TOPICS:
            for table in lake.scan(topic, columns=("user_id", "event_type")):
                theirs = table.filter(pc.is_in(table["user_id"], value_set=_array(gone)))
                assert set(theirs["event_type"].to_pylist()) <= {ERASE}, topic
        told.clear()
        train(tenant(), told.append)
        assert any(text.startswith("rankers taught") for text in told), told
        assert np.isfinite([item.score for item in ask(someone).items]).all()
    finally:
        client.end()


def _array(values: list[str]) -> Any:
    import pyarrow as pa

    return pa.array(values)
