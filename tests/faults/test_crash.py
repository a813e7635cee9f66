"""`kill -9` at random moments under load: what was acknowledged is there, once, and the state is the log's."""

from __future__ import annotations

import http.client
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from server_process import Server, items

from nearline.schema.event import TOPICS
from nearline.schema.ids import key, keys
from nearline.serving.user_view import user_view
from nearline.stores.history import iter_records
from nearline.stream.local import LocalStream

FULL = os.environ.get("FULL_TESTS") == "1"
KILLS = 50 if FULL else 6
USERS, ITEMS, BATCH, CLIENTS = 40, 60, 15, 3


class Load:
    """Clients that send batches until the server is gone, and again, with the same ids, when it is back."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.acknowledged: list[str] = []
        self.sent: list[str] = []
        self.owed: list[list[dict[str, Any]]] = [[] for _ in range(CLIENTS)]
        self.numbers = [0] * CLIENTS
        self.retried = self.lists = 0
        self.refusals: list[int] = []
        self.threads: list[threading.Thread] = []

    def begin(self) -> None:
        self.threads = [threading.Thread(target=self._client, args=(n,)) for n in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def join(self) -> None:
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()

    def _client(self, n: int) -> None:
        port, draw = self.server.port, random.Random(n * 1000 + self.numbers[n])
        while True:
            batch = self.owed[n] or self._batch(n, draw)
            self.retried += bool(self.owed[n])
            self.owed[n] = batch
            try:
                if self.server.port != port:
                    return
                status, answer, _ = self.server.ask("POST", "/v1/events", batch)
                if status != 202:
                    self.refusals.append(status)
                    return
                assert answer["event_ids"] == [event["event_id"] for event in batch]
                self.acknowledged += answer["event_ids"]
                # Every fifth batch is sent again although it was taken.
                self.owed[n] = batch if draw.random() < 0.2 else []
                if n == 0:
                    self.lists += self.server.ask("GET", f"/v1/recommendations?user_id=u{draw.randrange(USERS)}")[0] == 200
            except (OSError, http.client.HTTPException):
                return

    def _batch(self, n: int, draw: random.Random) -> list[dict[str, Any]]:
        made = []
        for _ in range(BATCH):
            self.numbers[n] += 1
            kind = draw.choice(["view", "click", "seen", "purchase"])
            who, what = f"u{draw.randrange(USERS)}", f"i{draw.randrange(ITEMS)}"
            made.append({"user_id": who, "item_id": what, "event_type": kind, "event_id": f"e{n}-{self.numbers[n]}"})
        self.sent += [event["event_id"] for event in made]
        return made


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.end()


@pytest.mark.timeout(900 if FULL else 280)
def test_acknowledged_events_survive_kills_once_and_the_state_is_a_replay(server: Server) -> None:
    server.start()
    assert server.ask("POST", "/v1/items", items(ITEMS))[0] == 200
    load, draw = Load(server), random.Random(7)
    for kill in range(KILLS):
        load.begin()
        # Some kills meet `nearline maintain` while it archives and saves, and take it along.
        maintain = server.command("maintain") if kill % 3 == 1 else None
        time.sleep(draw.uniform(0.05, 0.6) if maintain is None else draw.uniform(0.6, 2.5))
        if maintain is not None and kill % 2:
            maintain.kill()
        server.kill()
        if maintain is not None:
            maintain.wait(60)
        load.join()
        if kill % 4 == 3:
            server.run("maintain")
        server.start()
    load.begin()
    time.sleep(0.3)
    server.kill()
    load.join()

    # What the log and the lake hold: offsets without a hole, each acknowledged id once, nothing that was never sent.
    tenant = server.tenant()
    log = tenant.log(read_only=True)
    try:
        stored: list[str] = []
        for first, records in iter_records(log, tenant.lake, "user_events"):
            assert first == len(stored)
            stored += [record.event_id for record in records]
        counts = Counter(stored)
        assert len(load.acknowledged) > KILLS * BATCH
        assert load.retried > 0
        assert load.lists > 0
        assert not load.refusals
        assert not set(load.acknowledged) - set(counts), "acknowledged events are lost"
        assert not set(counts) - set(load.sent)
        assert [each for each, n in counts.items() if n > 1] == []
        assert tenant.lake.end("user_events") > 0
        assert all(tenant.lake.end(topic) <= log.end(topic) for topic in TOPICS)

        # The state as restored from the newest snapshot is that of a replay from nothing, byte for byte.
        restored, replayed = LocalStream(tenant), LocalStream(tenant)
        rest = restored.restore(log)
        assert replayed.follow(log) == len(stored)
        assert rest < len(stored), "no snapshot was used"
        ours, theirs = restored.world.state.dump(), replayed.world.state.dump()
        assert ours.keys() == theirs.keys()
        for name, array in theirs.items():
            assert np.array_equal(ours[name].view(np.uint8), array.view(np.uint8)), name
        fresh = restored.duplicates.fresh(keys(stored), tenant.clock.now())
        assert not fresh.any(), "a restored server would take an event twice"
    finally:
        log.close()

    # And what the server says of its users is what the replay says of them.
    server.start()
    now = tenant.clock.now()
    for n in range(USERS):
        user = f"u{n}"
        expected = user_view(replayed.world, key(user), user, now)
        status, answer, _ = server.ask("GET", f"/v1/users/{user}")
        assert (status == 200) == (expected is not None)
        if expected is not None:
            for part in ("recent_views", "preferences", "last_updated", "offset"):
                assert answer[part] == expected[part], part
    assert server.stop() in (0, -15)
