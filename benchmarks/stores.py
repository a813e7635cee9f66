"""Rows of visitors in each store, one after another: written by the thousand as workers do, read by one and by the hundred.

Servers are one node each, on this machine and with its processors; what a network and copies take comes on top.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import uuid
from pathlib import Path

import numpy as np

from benchmarks.table import Row, percentile, say, show, spread
from engines.servers import SERVERS, serving
from nearline.schema.clock import DAY
from nearline.stores import users
from nearline.stores.user_rows import RowsPlace, UserRow, UserRows, open_user_rows

COMMAND = "python -m benchmarks.stores"
VISITORS = 5_000
PAGE = 1_000
MANY = 100
KEYS = [int(key) for key in np.random.default_rng(1).integers(1, 2**64, VISITORS, np.uint64)]


def rows(offset: int) -> list[UserRow]:
    """Return rows of the usual size, all moved by one event."""
    head = np.array([offset, 5], np.int64).tobytes()
    return [UserRow(key, head + b"h" * 172, head + b"x" * 980) for key in KEYS]


def measured(name: str, store: UserRows, repeats: int) -> list[Row]:
    """Return a store's lines."""
    store.write(rows(0), {0: 1})
    written, tails, read = [], [], []
    for turn in range(1, repeats + 1):
        some, began = rows(turn), time.perf_counter()
        for begin in range(0, VISITORS, PAGE):
            store.write(some[begin : begin + PAGE], {0: turn})
        written.append(VISITORS / (time.perf_counter() - began))
        took = []
        for key in KEYS[:1000]:
            began = time.perf_counter()
            store.read([key])
            took.append(1e3 * (time.perf_counter() - began))
        tails.append(percentile(took, 0.99))
        began = time.perf_counter()
        for begin in range(0, VISITORS, MANY):
            store.read(KEYS[begin : begin + MANY])
        read.append(VISITORS / (time.perf_counter() - began))
    return [
        Row(f"{name}: rows written/s, {PAGE:,} at once", spread(written).text(), command=COMMAND),
        Row(f"{name}: one visitor's rows read, p99", f"{spread(tails).text('.2f')} ms", command=COMMAND),
        Row(f"{name}: visitors' rows read/s, {MANY} at once", spread(read).text(), command=COMMAND),
    ]


def main() -> None:
    """Run it over all stores that can run here."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=serving(users), help="names in engines/servers.py")
    parser.add_argument("--repeats", type=int, default=5)
    o = parser.parse_args()
    table: list[Row] = []
    for name in o.only:
        if missing := SERVERS[name].missing():
            say(f"{name} {missing}")
            continue
        with tempfile.TemporaryDirectory() as folder:
            server = SERVERS[name].make(Path(folder) / "server")
            try:
                server.start()
                store = open_user_rows(RowsPlace(server.place(), uuid.uuid4().hex[:8], DAY, 400 * DAY, 30.0))
                table += measured(name, store, o.repeats)
                store.close()
            finally:
                server.remove()
    show(table)


if __name__ == "__main__":
    main()
