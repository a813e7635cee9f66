"""Lists by an index outside and by the scan in memory: the same items for the same reason, and nothing lost when it goes."""

from __future__ import annotations

import time

import numpy as np
import pytest
from test_source_contract import APP, ITEMS, NOW

from engines.servers import Breakable, serving
from nearline.features.suppression import SuppressionLists
from nearline.schema.components import Arrays
from nearline.schema.errors import StoreUnavailableError
from nearline.schema.event import empty_events
from nearline.schema.ids import key, keys
from nearline.schema.query import Query
from nearline.sources.als import AlsSource
from nearline.stores import vectors
from nearline.stores.catalog import Catalog
from nearline.stores.state import MemoryState
from nearline.stores.vector_index import Indexes, VectorPlace
from nearline.stores.world import OnlineWorld

USERS = 20
LIMIT = 50


def arrays(seed: int, factors: int = 48) -> Arrays:
    random = np.random.default_rng(seed)
    own = random.normal(size=(len(ITEMS), factors)).astype(np.float32)
    solve = np.linalg.inv(own.T @ own + np.eye(factors)).astype(np.float32)
    return {"keys": keys(item.item_id for item in ITEMS), "vectors": own, "solve": solve}


def a_world(source: AlsSource) -> OnlineWorld:
    """Return a world in which users touched items; one item in nine never came here."""
    state = MemoryState(source.folds, [SuppressionLists(APP.kinds())])
    world = OnlineWorld(state, Catalog(state))
    world.catalog.put(item for n, item in enumerate(ITEMS) if n % 9)
    events, random = empty_events(USERS * 6), np.random.default_rng(1)
    events["offset"], events["ts"], events["user"] = (
        np.arange(len(events)),
        NOW,
        keys(f"u{n % USERS}" for n in range(len(events))),
    )
    events["item"] = keys(ITEMS[n].item_id for n in random.integers(0, len(ITEMS), len(events)))
    events["role"], events["weight"] = 3, 1000
    world.apply(events)
    return world


@pytest.mark.parametrize("server", serving(vectors, breaks=True), indirect=True)
def test_an_index_finds_what_the_scan_finds_and_comes_back(server: Breakable) -> None:
    scanning, asking = AlsSource(), AlsSource()
    world, given = a_world(scanning), arrays(1)
    scanning.bind(world, given)
    world.indexes = Indexes(VectorPlace(server.place(), f"t{time.time_ns()}", 20.0))
    asking.bind(world, given)
    hits = total = 0
    for user in range(USERS):
        for item in ("", ITEMS[1 + user].item_id):
            query = Query(key(f"u{user}"), NOW, item_id=item)
            state = world.hydrate(query.visitor, NOW)
            ours, theirs = (source.fetch(query, state, LIMIT) for source in (asking, scanning))
            assert [str(part.dtype) for part in (ours.items, ours.scores, ours.because)] == ["int32", "float32", "int32"]
            assert len(ours.items) >= LIMIT * 7 // 9  # what is not in the catalogue is found too, and left out
            same = np.isin(theirs.items[: len(ours.items)], ours.items)
            hits, total = hits + int(same.sum()), total + len(same)
            assert set(ours.because.tolist()) == set(theirs.because.tolist())
            scores = dict(zip(theirs.items.tolist(), theirs.scores.tolist(), strict=True))
            close = 0.02 * float(np.abs(theirs.scores).max())
            both = zip(ours.items.tolist(), ours.scores.tolist(), strict=True)
            assert all(abs(scores.get(item, score) - score) < close for item, score in both)
    assert hits >= 0.99 * total
    stranger = world.hydrate(key("nobody"), NOW)
    assert len(asking.fetch(Query(key("nobody"), NOW), stranger, LIMIT).items) == 0
    # It goes, another release comes meanwhile, and both come back.
    state, query = world.hydrate(key("u1"), NOW), Query(key("u1"), NOW)
    before, other, second = asking.fetch(query, state, LIMIT), AlsSource(), arrays(2)
    server.kill()
    with pytest.raises(StoreUnavailableError):
        asking.fetch(query, state, LIMIT)
    other.bind(world, second)
    began = time.monotonic()
    for source in (asking, other):
        with pytest.raises(StoreUnavailableError):
            source.fetch(query, state, LIMIT)
    assert time.monotonic() - began < 1  # nobody waits for what is known to be away
    server.start()
    after = [asked_until(source, world) for source in (asking, other)]
    assert after[0] == before.items.tolist()
    scanning.bind(OnlineWorld(world.state, world.catalog), second)
    found = scanning.fetch(query, state, LIMIT).items.tolist()
    assert len(set(after[1]) & set(found[: len(after[1])])) >= 0.9 * len(after[1])
    world.release()


def asked_until(source: AlsSource, world: OnlineWorld) -> list[int]:
    """Return what u1 gets once the index answers again."""
    until = time.monotonic() + 60
    while True:
        source.renew(NOW)
        try:
            found: list[int] = source.fetch(Query(key("u1"), NOW), world.hydrate(key("u1"), NOW), LIMIT).items.tolist()
            return found
        except StoreUnavailableError:
            assert time.monotonic() < until
            time.sleep(0.1)
