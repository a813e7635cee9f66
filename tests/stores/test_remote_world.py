"""Visitors' rows in a store, as a server reads them: as if they were here, and bearably when the store is away."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

from engines.valkey import Valkey
from nearline.app.definition import App
from nearline.app.sections import Settings, Storage
from nearline.app.tenant import Tenant
from nearline.schema.clock import DAY, HOUR
from nearline.schema.event import ERASE, Record
from nearline.schema.ids import key
from nearline.stores.encode import events_from_records
from nearline.stores.remote_world import RemoteWorld
from nearline.stores.user_rows import RowsPlace, open_user_rows
from nearline.stores.world import OnlineWorld
from nearline.stream.rows import RowsFolder

NOW = 1_790_000_000_000


def shop(folder: Path) -> Tenant:
    return Tenant(App(events=["view", "click", "purchase"]), Settings(storage=Storage(path=str(folder))))


def place(server: Valkey) -> RowsPlace:
    return RowsPlace(server.url, uuid.uuid4().hex[:8], DAY, 400 * DAY, 0.1)


def records(n: int, first: int = 0) -> list[Record]:
    return [Record("", "click", f"u{k % 20}", f"i{k % 7}", NOW + k * HOUR, NOW + k * HOUR) for k in range(first, first + n)]


def same(one: OnlineWorld, other: OnlineWorld, user: str, now: int) -> bool:
    """Return whether two worlds say the same of a visitor."""
    a, b = one.hydrate(key(user), now), other.hydrate(key(user), now)
    rows = all(a.rows[name].tobytes() == b.rows[name].tobytes() for name in a.rows)
    return rows and set(a.rows) == set(b.rows) and (a.offset, a.last, a.seen) == (b.offset, b.last, b.seen)


def test_rows_in_a_store_read_as_rows_in_memory(redis_server: Valkey, tmp_path: Path) -> None:
    tenant, where = shop(tmp_path), place(redis_server)
    here, there = tenant.world(), tenant.world(rows=open_user_rows(where))
    writer = open_user_rows(where)
    folder = RowsFolder(tenant.user_state, writer)
    events = events_from_records(records(300), 0, tenant.kinds)
    for world in (here, there):
        world.apply(events)
    folder.fold(events, {0: 300})
    users = [f"u{k}" for k in range(20)]
    # Now, when hot rows have expired, and when everything has.
    for now in (NOW + 300 * HOUR, NOW + 300 * HOUR + 2 * DAY, NOW + 500 * DAY):
        assert all(same(here, there, user, now) for user in [*users, "nobody"])
    # The store is behind: the list says so, and has seen what the rows have.
    later = events_from_records(records(20, 300), 300, tenant.kinds)
    there.apply(later)
    assert there.hydrate(key("u3"), NOW).seen == 300
    # Folding the same again, by another worker, changes no byte.
    before = writer.read([key(user) for user in users], [0])
    RowsFolder(tenant.user_state, writer).fold(events[200:], {0: 300})
    assert writer.read([key(user) for user in users], [0]) == before
    folder.fold(later, {0: 320})
    here.apply(later)
    assert all(same(here, there, user, NOW + 320 * HOUR) for user in users)
    writer.close()
    assert isinstance(there, RemoteWorld)
    there.release()


def test_a_store_that_hangs_costs_one_time_out_and_known_visitors_stay_known(redis_server: Valkey, tmp_path: Path) -> None:
    tenant, where = shop(tmp_path), place(redis_server)
    there, writer = tenant.world(rows=open_user_rows(where)), open_user_rows(where)
    assert isinstance(there, RemoteWorld)
    events = events_from_records(records(100), 0, tenant.kinds)
    there.apply(events)
    RowsFolder(tenant.user_state, writer).fold(events, {0: 100})
    now = NOW + 100 * HOUR
    known = there.hydrate(key("u3"), now)
    assert known.offset == 83
    redis_server.freeze()
    try:
        began = time.monotonic()
        for _ in range(200):
            again = there.hydrate(key("u3"), now)
            blank = there.hydrate(key("u4"), now)
        taken = time.monotonic() - began
        assert again.rows["history"].tobytes() == known.rows["history"].tobytes()
        assert blank.offset == -1
        assert not any(blank.rows["history"].tobytes())
        assert there.failures >= 1
        assert not there.answers
        assert taken < 2.0  # not 400 time-outs of a tenth of a second
        # Who is erased meanwhile is not served from what was kept of him.
        there.apply(events_from_records([Record("", ERASE, "u3", "", now, now)], 100, tenant.kinds))
        assert there.hydrate(key("u3"), now).offset == -1
    finally:
        redis_server.thaw()
    until = time.monotonic() + 20
    while not there.answers and time.monotonic() < until:
        there.hydrate(key("u4"), now)
        time.sleep(0.05)
    assert there.hydrate(key("u4"), now).offset == 84
    writer.close()
    there.release()
