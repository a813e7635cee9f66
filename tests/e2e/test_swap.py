"""A release is published, swapped in and rolled back under load: no request fails, every list says what made it."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pytest
from server_process import Server, items

from nearline.batch.training import train
from nearline.schema.served import SERVED_FROM

N = 60


class Load:
    """Clients that ask all the time; what came is kept as (model_version, served_from), and what failed."""

    def __init__(self, server: Server, clients: int = 2) -> None:
        self.server, self.ending = server, threading.Event()
        self.versions: Counter[str] = Counter()
        self.rungs: Counter[str] = Counter()
        self.failures: list[object] = []
        self.threads = [threading.Thread(target=self._client, args=(n,)) for n in range(clients)]

    def __enter__(self) -> Load:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.set()
        for thread in self.threads:
            thread.join(30)

    def until(self, version: str) -> None:
        """Wait until lists are made by a release."""
        seen, end = self.versions[version], time.monotonic() + 60
        while self.versions[version] < seen + 5:
            assert time.monotonic() < end, f"{version} did not come: {self.versions}"
            time.sleep(0.05)

    def _client(self, n: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        k = 0
        while not self.ending.is_set():
            k += 1
            try:
                path = f"/v1/items/i{k % N}/similar" if k % 5 == 0 else f"/v1/recommendations?user_id=u{k % 40}"
                connection.request("GET", path)
                response = connection.getresponse()
                answer = json.loads(response.read())
                if response.status != 200 or (k % 5 and len(answer["items"]) < 10):
                    self.failures.append((path, response.status, answer))
                elif k % 5:
                    self.versions[answer["model_version"]] += 1
                    self.rungs[answer["served_from"]] += 1
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(error)
            time.sleep(0.005)
        connection.close()


@pytest.mark.timeout(200)
def test_releases_are_swapped_and_rolled_back_under_load(tmp_path: Path) -> None:
    server = Server(tmp_path, {"TRAIN_EMBEDDINGS": 8, "TRAIN_EXAMPLES": 300, "STORAGE_VECTORS": "faiss:?index=flat"})
    try:
        server.start()
        assert server.ask("POST", "/v1/items", items(N))[0] == 200
        # Two weeks of visits in two groups of taste, so that there is something to learn.
        now = int(time.time() * 1000)
        for day in range(14):
            batch = [
                {
                    "user_id": f"u{u}",
                    "item_id": f"i{(u % 2) * 30 + (u * 7 + day * 3 + step * (1 + u % 3)) % 30}",
                    "event_type": "click" if step % 2 else "view",
                    "timestamp": now - (14 - day) * 86_400_000 + u * 60_000 + step * 5_000,
                }
                for u in range(40)
                for step in range(6)
            ]
            assert server.ask("POST", "/v1/events", batch)[0] == 202
        with Load(server) as load:
            load.until("none")
            said: list[str] = []
            assert train(server.tenant(), said.append).published, said
            load.until("r000001")
            # The same data again: whether the gates like it is not the question here.
            tenant = server.tenant()
            first = tenant.releases.load("r000001", tenant.feature_set)
            assert "index of als: flat, since the setting storage.vectors says so" in said
            assert bytes(first.arrays["als"]["index"][:7]) == b"NLINDEX"  # it travels with the release
            manifest = msgspec.structs.replace(first.manifest, version="r000002", parent="r000001")
            tenant.releases.publish(manifest, first.arrays)
            load.until("r000002")
            server.run("rollback")
            load.until("r000001")
            # One that can't be loaded is not swapped in, and does not keep a later one out.
            broken = msgspec.structs.replace(first.manifest, version="r000003", feature_set="another")
            tenant.releases.publish(broken, first.arrays)
            half = msgspec.structs.replace(first.manifest, version="r000004")
            tenant.releases.publish(half, {tenant.parts.ranker.name: {"nothing": np.zeros(1)}})
            time.sleep(2.5)
            tenant.releases.use("r000002")
            load.until("r000002")
        assert load.failures == []
        assert set(load.versions) == {"none", "r000001", "r000002"}
        assert set(load.rungs) <= set(SERVED_FROM)
        assert load.rungs["ranker"] + load.rungs["light_ranker"] > 0
    finally:
        server.end()
