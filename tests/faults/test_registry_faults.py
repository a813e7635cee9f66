"""Servers that share a registry of releases and archive into a bucket, while the store hangs, dies and comes back."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from registry import publish, version_of, wait_for
from server_process import Server, items

from engines.s3 import S3
from nearline.stores.timeline import timeline

BOUND = 20.0
"""Seconds that a start may take longer than one whose store answers, on a machine with other things to do."""


def seconds_to_start(server: Server) -> float:
    begun = time.monotonic()
    server.start()
    return time.monotonic() - begun


@pytest.mark.timeout(280)
def test_a_store_that_hangs_delays_nobody(bucket: S3, tmp_path: Path) -> None:
    place = bucket.place()
    settings = {"STORAGE_RELEASES": place, "STORAGE_LAKE": f"{place}/lake", "TRAIN_EVERY": ""}
    first = Server(tmp_path / "first", settings)
    second = Server(tmp_path / "second", {**settings, "STORAGE_LAKE": "file:"})
    fresh = Server(tmp_path / "fresh", settings | {"STORAGE_LAKE": "file:"})
    try:
        for server in (first, second):
            server.start()
            assert server.ask("POST", "/v1/items", items(30))[0] == 200
        events = [{"user_id": f"u{n % 7}", "item_id": f"i{n % 30}", "event_type": "click"} for n in range(200)]
        assert first.ask("POST", "/v1/events", events)[0] == 202
        one = publish(first.tenant())
        for server in (first, second):
            wait_for(server, one)
        first.run("maintain")
        lake = first.tenant().lake
        assert (lake.objects.remote, lake.end("user_events")) == (True, 200)

        assert second.stop() in (0, -15)
        usual = seconds_to_start(second)

        bucket.freeze()
        # What serves goes on; metrics are read on the loop and ask nobody.
        assert version_of(first) == one
        assert first.text("/metrics")[0] == 200
        for server in (first, second):
            server.kill()
            assert seconds_to_start(server) < usual + BOUND
            assert version_of(server) == one
            assert server.ask("POST", "/v1/events", events[:3])[0] == 202
        # Without a copy it serves too, and operators see what there is.
        assert seconds_to_start(fresh) < usual + BOUND
        assert fresh.ask("POST", "/v1/items", items(30))[0] == 200
        assert version_of(fresh) == "none"
        status, listed, _ = second.ask("GET", "/v1/releases")
        assert (status, [release["version"] for release in listed["releases"]]) == (200, [one])
        said = first.run("doctor", status=1)
        assert "wrong  lake: s3://nearline/" in said
        assert "wrong  registry: s3://nearline/" in said
        assert f"{one} serves" in " ".join(said.split())
        assert second.stop() in (0, -15)
        bucket.thaw()

        second.start()
        two = publish(second.tenant())
        for server in (first, second, fresh):
            wait_for(server, two)
        first.run("maintain")
        first.stop()
        assert lake.end("user_events") == 203
        log = first.tenant().log(read_only=True)
        assert len(timeline(log, lake, first.tenant().kinds).events) == 203
        log.close()
    finally:
        bucket.thaw()
        for server in (first, second, fresh):
            server.end()
