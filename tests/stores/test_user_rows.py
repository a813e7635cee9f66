"""The contract of a store of user rows, over all adapters: each runs on the servers of its scheme."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import pytest

from engines.process import free_ports
from engines.servers import Breakable, StoreServer, serving
from engines.valkey import ValkeyCluster
from nearline.schema.clock import DAY
from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.stores import users
from nearline.stores.adapters import schemes, shown
from nearline.stores.user_rows import RowsLostError, RowsPlace, UserRow, UserRows, open_user_rows

T = TypeVar("T")
everywhere = pytest.mark.parametrize("server", serving(users), indirect=True)


def at(url: str, timeout: float = 5.0) -> RowsPlace:
    return RowsPlace(url, f"t{uuid.uuid4().hex[:8]}", DAY, 400 * DAY, timeout)


@pytest.fixture
def place(server: StoreServer) -> RowsPlace:
    return at(server.place())


@pytest.fixture
def store(place: RowsPlace) -> Iterator[UserRows]:
    made = open_user_rows(place)
    yield made
    made.close()


def row(visitor: int, offset: int, fill: int = 7, last: int = 5) -> UserRow:
    head = np.array([offset, last], np.int64).tobytes()
    return UserRow(visitor, head + bytes([fill]) * 172, head + bytes([fill]) * 980)


def soon(ask: Callable[[], T]) -> T:
    """Return an answer, asking again while a busy machine is late."""
    until = time.monotonic() + 60
    while True:
        try:
            return ask()
        except StoreUnavailableError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def test_all_adapters_are_tested() -> None:
    assert {name.partition("-")[0] for name in serving(users)} == set(schemes(users))


@everywhere
def test_rows_come_back_as_they_were_written(store: UserRows) -> None:
    visitors = [int(v) for v in np.random.default_rng(1).integers(1, 2**64, 700, np.uint64)]
    rows = [row(visitor, place, place % 250) for place, visitor in enumerate(visitors)]
    assert store.read(visitors[:2], [0, 3]) == ([UserRow(visitors[0]), UserRow(visitors[1])], [0, 0])
    store.write(rows, {3: 700})
    assert store.read(visitors, [3, 0]) == (rows, [700, 0])
    assert store.read([5, visitors[9]])[0] == [UserRow(5), rows[9]]
    assert store.read([], [3]) == ([], [700])
    store.write([], {0: 12})
    assert store.read([visitors[1]], [0]) == ([rows[1]], [12])


@everywhere
def test_a_row_never_goes_back(store: UserRows) -> None:
    store.write([row(1, 10), row(2, 10)], {})
    store.write([row(1, 9, 1), row(2, 11, 2), row(3, 0, 3)], {})
    assert store.read([1, 2, 3])[0] == [row(1, 10), row(2, 11, 2), row(3, 0, 3)]
    store.write([row(1, 10)], {})  # the same event again: the same row
    assert store.read([1])[0] == [row(1, 10)]


@everywhere
def test_an_erased_visitor_leaves_a_head_that_older_rows_do_not_overwrite(store: UserRows) -> None:
    store.write([row(1, 10)], {})
    gone = UserRow(1, np.array([12, 0], np.int64).tobytes())
    store.write([gone], {})
    assert store.read([1])[0] == [gone]
    store.write([row(1, 11)], {})
    assert store.read([1])[0] == [gone]
    store.write([row(1, 13)], {})
    assert store.read([1])[0] == [row(1, 13)]


@pytest.mark.parametrize("server", serving(users, breaks=True), indirect=True)
def test_a_store_that_does_not_answer_says_so_in_time(server: Breakable) -> None:
    place = at(server.place(), 0.5)
    store = open_user_rows(place)
    soon(lambda: store.write([row(2, 1)], {}))
    assert soon(lambda: store.read([1]))[0] == [UserRow(1)]
    server.freeze()
    try:
        with pytest.raises(StoreUnavailableError, match=re.escape(shown(place.url))):
            store.read([1])
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            store.write([row(1, 1)], {})
        assert time.monotonic() - began < 2
    finally:
        server.thaw()
    soon(lambda: store.write([row(1, 2)], {0: 3}))
    assert soon(lambda: store.read([1], [0])) == ([row(1, 2)], [3])
    server.kill()
    with pytest.raises(StoreUnavailableError, match=re.escape(shown(place.url))):
        store.read([1])
    server.start()
    soon(lambda: store.read([1]))
    store.close()


def test_no_such_store_is_refused() -> None:
    with pytest.raises(NearlineError, match=r"storage\.state .* use one of memory:,"):
        open_user_rows(at("pigeon://loft"))


@pytest.mark.parametrize("server", ["postgresql", "mysql", "cassandra"], indirect=True)
def test_a_database_that_is_not_there_is_no_empty_store(server: StoreServer) -> None:
    store = open_user_rows(at(f"{server.place()}_not"))
    with pytest.raises(StoreUnavailableError):
        store.read([1], [0])
    store.close()


@everywhere
def test_who_hung_and_comes_back_sets_nothing_back(store: UserRows, place: RowsPlace) -> None:
    other = open_user_rows(place)
    other.write([row(1, 3)], {0: 4})
    store.read([], [0])
    store.write([row(1, 10)], {0: 11})
    other.write([row(1, 5), row(2, 6)], {0: 7})
    assert store.read([1, 2], [0]) == ([row(1, 10), row(2, 6)], [11])
    other.close()


@everywhere
@pytest.mark.parametrize("n", [1, 600])
def test_what_a_store_lost_is_not_hidden_by_what_is_written_next(
    server: StoreServer, place: RowsPlace, store: UserRows, n: int
) -> None:
    store.write([row(1, 10)], {2: 11})
    assert store.read([], [2])[1] == [11]
    server.empty(place.url)
    with pytest.raises(RowsLostError, match="gone back"):
        store.write([row(visitor, 12) for visitor in range(2, n + 2)], {2: 13})
    assert store.read([], [2])[1] == [0]
    assert store.read([1])[0] == [UserRow(1)]
    store.write([row(1, 10)], {2: 11})
    assert store.read([1], [2]) == ([row(1, 10)], [11])
    # What was written here is not forgotten either, though nobody read it.
    server.empty(place.url)
    with pytest.raises(RowsLostError, match="gone back"):
        store.write([], {2: 14})


@pytest.mark.parametrize("node", range(3))
def test_what_one_master_of_a_cluster_lost_shows_though_the_others_have_theirs(redis_cluster: ValkeyCluster, node: int) -> None:
    opened = at(redis_cluster.url)
    store, visitors = open_user_rows(opened), range(1, 61)
    store.write([row(visitor, 10) for visitor in visitors], {2: 11, 3: 7})
    redis_cluster.nodes[node].say("FLUSHALL")
    left = {visitor for visitor in visitors if store.read([visitor])[0] != [UserRow(visitor)]}
    assert 5 < len(left) < 55
    # Nobody is told that a row has what it has not; and what is missing anywhere is missing.
    assert all(store.read([visitor], [2])[1] == [11 if visitor in left else 0] for visitor in visitors)
    another = open_user_rows(opened)
    assert another.read([], [2, 3]) == ([], [0, 0])
    for number in (2, 3):
        with pytest.raises(RowsLostError, match=rf"rows of partitions \[{number}\]"):
            store.write([row(1, 12)], {number: 13})
    assert store.read([], [2, 3])[1] == [0, 0]
    store.write([row(visitor, 12) for visitor in visitors], {2: 13, 3: 8})
    assert store.read([], [2, 3])[1] == [13, 8]
    assert store.read(list(visitors))[0] == [row(visitor, 12) for visitor in visitors]
    store.close()
    another.close()


def test_whoever_starts_while_a_node_is_away_asks_the_next_that_is_named(redis_cluster: ValkeyCluster) -> None:
    (free,) = free_ports(1)
    store = open_user_rows(at(redis_cluster.url.replace("//", f"//127.0.0.1:{free},")))
    store.write([row(1, 2)], {0: 3})
    assert store.read([1], [0]) == ([row(1, 2)], [3])
    store.close()
    with pytest.raises(StoreUnavailableError, match="does not answer"):
        open_user_rows(at(f"redis+cluster://127.0.0.1:{free}")).read([1])
