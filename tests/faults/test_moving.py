"""`nearline move`: a shop of one process goes on, on a shared log, with all that it knew."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from server_process import Server, items

from engines.kafka import Kafka


def history(server: Server) -> list[Any]:
    """Return what each visitor did, the latest first; counters fade while the test runs."""
    return [server.ask("GET", f"/v1/users/u{n}")[1]["recent_views"] for n in range(7)]


def test_a_shop_moves_from_its_file_to_kafka_and_goes_on(broker: Kafka, tmp_path: Path) -> None:
    old = Server(tmp_path / "old", {"TRAIN_EVERY": ""})
    old.start()
    assert old.ask("POST", "/v1/items", items(30))[0] == 200
    events = [{"user_id": f"u{n % 7}", "event_type": "click", "item_id": f"i{n % 30}"} for n in range(60)]
    assert old.ask("POST", "/v1/events", {"events": events})[0] == 202
    old.run("maintain")  # a part in the lake, a part in the log
    assert old.ask("POST", "/v1/events", {"events": events[:9]})[0] == 202
    views = history(old)
    old.stop()

    new = Server(tmp_path / "new", {"STORAGE_LOG": f"{broker.url}/{uuid.uuid4().hex[:8]}", "STORAGE_PARTITIONS": 3})
    folder = old.settings["NEARLINE_STORAGE_PATH"]
    assert "moved 30 item_events, 69 user_events to kafka://" in new.run("move", folder)
    assert "must be empty" in new.run("move", folder, status=2)
    new.start()
    try:
        assert history(new) == views
        assert len(new.ask("GET", "/v1/recommendations?user_id=u3&page_size=10")[1]["items"]) == 10
        assert new.ask("POST", "/v1/events", {"events": events[:5]})[0] == 202
    finally:
        new.end()
    # The folder that it came from is as it was.
    old.start()
    try:
        assert history(old) == views
    finally:
        old.end()
