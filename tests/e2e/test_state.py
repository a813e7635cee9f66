"""`nearline state` says of a row in Redis what it says of the same row in memory, and neither asks a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from server_process import Server

from engines.valkey import Valkey
from nearline.schema.event import Record
from nearline.schema.ids import key, visitor_key
from nearline.stores.encode import events_from_records
from nearline.stores.user_rows import UserRow
from nearline.stream.rows import RowsFolder

NOW = 1_790_000_000_000
EVENTS = [
    Record(f"e{k}", kind, user, item, NOW + k * 1000, NOW + k * 1000, category="c1", price=2.0)
    for k, (kind, user, item) in enumerate(
        [("view", "ann", "i1"), ("click", "ann", "i2"), ("click", "bea", "i2"), ("purchase", "ann", "i2")]
    )
]


def told(server: Server, user: str) -> Any:
    return msgspec.json.decode(server.run("state", user, "--json"))


def test_a_row_in_redis_reads_like_the_same_row_in_memory(tmp_path: Path, redis_server: Valkey) -> None:
    redis_server.say("FLUSHALL")
    memory = Server(tmp_path / "memory")
    assert "there is no data yet" in memory.run("state", "ann", status=2)
    log = memory.tenant().log()
    log.append({"user_events": EVENTS})
    log.close()
    remote = Server(tmp_path / "redis", {"STORAGE_LOG": "kafka://127.0.0.1:1", "STORAGE_STATE": redis_server.url})
    tenant = remote.tenant()
    store = tenant.user_rows(5.0)
    RowsFolder(tenant.user_state, store).fold(events_from_records(EVENTS, 0, tenant.kinds), {0: len(EVENTS)})

    here, there = told(memory, "ann"), told(remote, "ann")
    assert (here["offset"], here["last"], here["progress"]) == (3, NOW + 3000, 4)
    assert (here["store"], there["store"]) == ("memory:", redis_server.url)
    assert [name.rpartition(":")[2] for name in there["names"]] == ["features", "history"]
    assert {**there, "store": here["store"], "names": []} == here
    history = next(fold for fold in here["folds"] if fold["name"] == "history")
    newest = {key(item) for item in ("i1", "i2")}
    assert newest <= set(np.ravel(history["fields"]["items"]).tolist())
    said = remote.run("state", "ann")
    assert "last event: offset 3" in said
    assert there["names"][0] in said
    assert "never seen" in remote.run("state", "nobody")
    # Erased: a head alone stays.
    head = np.array([9, 0], np.int64).tobytes()
    store.write([UserRow(visitor_key("bea", ""), head)], {})
    assert "erased at offset 9" in remote.run("state", "bea")
    store.close()
