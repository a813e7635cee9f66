"""A search of `als` through each adapter of the port, whose small server is on this machine, by number of items.

The whole turn of the source is timed: folding in, searching, finding the items. Searching alone, with many more vectors, is
`benchmarks.retrieval`'s.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.table import Row, percentile, say, show, spread
from engines.servers import SERVERS, serving
from nearline.schema.components import Arrays
from nearline.schema.event import empty_events
from nearline.schema.ids import keys
from nearline.schema.item import Item
from nearline.schema.query import Query
from nearline.sources.als import AlsSource
from nearline.stores import vectors
from nearline.stores.catalog import Catalog
from nearline.stores.state import MemoryState
from nearline.stores.vector_index import Indexes, VectorPlace
from nearline.stores.world import OnlineWorld

COMMAND = "python -m benchmarks.vectors"
NOW, USERS, TOUCHED, LIMIT, DIMENSIONS = 1_790_000_000_000, 200, 10, 500, 64


def a_world(source: AlsSource, names: list[str]) -> OnlineWorld:
    """Return a world of items that users have touched some of."""
    state = MemoryState(source.folds, [])
    world = OnlineWorld(state, Catalog(state))
    world.catalog.put(Item(name) for name in names)
    events, random = empty_events(USERS * TOUCHED), np.random.default_rng(1)
    events["offset"], events["ts"], events["user"] = np.arange(len(events)), NOW, np.arange(len(events)) % USERS + 1
    events["item"] = keys(names[n] for n in random.integers(0, len(names), len(events)))
    events["role"], events["weight"] = 3, 1000
    world.apply(events)
    return world


def measured(what: str, source: AlsSource, world: OnlineWorld, repeats: int) -> list[Row]:
    """Return the lines of a source that is bound."""
    states, means, tails = [world.hydrate(user + 1, NOW) for user in range(USERS)], [], []
    for turn in range(repeats + 1):
        took = []
        for user, state in enumerate(states):
            began = time.perf_counter()
            source.fetch(Query(user + 1, NOW), state, LIMIT)
            took.append(1e3 * (time.perf_counter() - began))
        if turn:  # the first one warms up
            means.append(percentile(took, 0.5))
            tails.append(percentile(took, 0.99))
    timed = f"{spread(means).text('.2f')} ms / {spread(tails).text('.2f')} ms"
    return [Row(f"{what}: {LIMIT} nearest, p50 / p99", timed, command=COMMAND)]


def main() -> None:
    """Run it over memory and all indexes that can run here."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, nargs="*", default=[20_000, 200_000])
    parser.add_argument("--repeats", type=int, default=5)
    o = parser.parse_args()
    table: list[Row] = []
    for n in o.items:
        names, random = [f"i{k}" for k in range(n)], np.random.default_rng(n)
        own = random.normal(size=(n, DIMENSIONS)).astype(np.float32)
        given: Arrays = {"keys": keys(names), "vectors": own, "solve": np.linalg.inv(own.T @ own).astype(np.float32)}
        source = AlsSource()
        world = a_world(source, names)
        for name in serving(vectors):
            if missing := SERVERS[name].missing():
                say(f"{name} {missing}")
                continue
            with tempfile.TemporaryDirectory() as folder:
                server = SERVERS[name].make(Path(folder) / "server")
                try:
                    server.start()
                    world.indexes = Indexes(VectorPlace(server.place(), "bench", 30.0))
                    began = time.perf_counter()
                    source.bind(world, given)
                    filled = f"{time.perf_counter() - began:.1f} s"
                    table.append(Row(f"{name}, {n:,} × {DIMENSIONS}: filled", filled, command=COMMAND))
                    table += measured(f"{name}, {n:,} × {DIMENSIONS}", source, world, o.repeats)
                    world.release()
                finally:
                    server.remove()
    show(table)


if __name__ == "__main__":
    main()
