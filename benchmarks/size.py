"""What size costs: a server's memory and start by items, a store's memory by visitors; what is larger is in proportion."""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.table import Row, say, show
from benchmarks.world import tenant_in, write_settings
from engines.valkey import Valkey
from nearline.batch.importing import item_record
from nearline.schema.event import Record
from nearline.schema.item import Item
from nearline.stores.encode import events_from_records
from nearline.stores.user_rows import RowsPlace, open_user_rows
from nearline.stream.local import LocalStream
from nearline.stream.rows import RowsFolder

COMMAND = "python -m benchmarks.size"
NOW = 1_790_000_000_000
GROUP = 5_000
EVENTS = 20
"""A visitor's, before his row is written."""


def items(n: int) -> Iterator[Item]:
    """Return items as a shop has them."""
    rng = random.Random(1)
    for place in range(n):
        aisle = rng.randrange(200)
        yield Item(
            f"item-{place:08}",
            f"Kettle {rng.randrange(9999)} of brushed steel, {place}",
            f"Home > Kitchen {aisle // 20} > Aisle {aisle}",
            f"brand-{rng.randrange(3000)}",
            round(rng.uniform(3, 300), 2),
            (f"tag-{rng.randrange(500)}", f"tag-{rng.randrange(500)}"),
            NOW - rng.randrange(10**10),
        )


def fill(folder: Path, n: int) -> None:
    """Put items, and an event of each, into the log."""
    write_settings(folder, folder / "data")
    tenant = tenant_in(folder)
    log, some = tenant.log(), list[Item]()
    try:
        for place, item in enumerate(items(n), 1):
            some.append(item)
            if len(some) == GROUP or place == n:
                records = [item_record(item, NOW) for item in some]
                events = [Record("", "view", f"u{k % 1000}", item.item_id, NOW, NOW) for k, item in enumerate(some)]
                log.append({"item_events": records, "user_events": events})
                some = []
    finally:
        log.close()


def start(folder: Path) -> None:
    """Print how long a start takes, from the log and from a snapshot, and the memory after it; a process of its own."""
    tenant = tenant_in(folder)
    empty = _resident()
    log = tenant.log(read_only=True)
    began = time.monotonic()
    stream = LocalStream(tenant)
    stream.restore(log)
    spent, resident = time.monotonic() - began, _resident()
    log.close()
    if "snapshot" in sys.argv:
        stream.save()
    print(f"{spent} {resident - empty} {len(stream.world.catalog)}")


def _resident() -> float:
    return float(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def of_items(folder: Path, n: int) -> list[Row]:
    """Measure a start with n items."""
    say(f"{n:,} items: filling a log")
    fill(folder, n)
    out = []
    for name, more in (("the log", ["snapshot"]), ("a snapshot", [])):
        run = [sys.executable, "-m", "benchmarks.size", "--start", str(folder), *more]
        seconds, size, found = subprocess.run(run, check=True, capture_output=True, text=True).stdout.split()
        assert int(found) == n
        text = f"{float(seconds):.1f} s · {float(size) / 1e9:.2f} GB ({float(size) / n:,.0f} B an item)"
        out.append(Row(f"start from {name}, {n:,} items: time · memory", text, "", "", COMMAND))
        say(f"{out[-1].what}: {text}")
    return out


def of_rows(folder: Path, n: int) -> list[Row]:
    """Measure the memory of n visitors' rows in Redis."""
    write_settings(folder, folder / "data")
    tenant = tenant_in(folder)
    server = Valkey(folder / "valkey")
    server.start()
    try:
        store = open_user_rows(RowsPlace(server.url, "size", 24 * 3_600_000, 400 * 86_400_000, 30.0))
        empty = _used(store)
        rng, offset = random.Random(2), 0
        for begin in range(0, n, GROUP):
            users = [f"u{k}" for k in range(begin, min(n, begin + GROUP))] * EVENTS
            rng.shuffle(users)
            records = [
                Record("", "view", user, f"item-{rng.randrange(10**6):08}", NOW + offset + k, NOW, category="Home", price=9.5)
                for k, user in enumerate(users)
            ]
            RowsFolder(tenant.user_state, store).fold(
                events_from_records(records, offset, tenant.kinds), {0: offset + len(users)}
            )
            offset += len(users)
        each = (_used(store) - empty) / n
        sizes = {tier: kind.itemsize for tier, kind in tenant.user_state().packed.items()}
        store.close()
    finally:
        server.kill()
    text = f"{each:,.0f} B ({sizes['hot']} hot, {sizes['history']} kept): 10 million visitors take {each / 100:,.1f} GB"
    return [Row(f"a visitor's rows in Redis, of {n:,}", text, "", "", COMMAND)]


def _used(store: object) -> int:
    found: int = store._redis().info("memory")["used_memory"]  # type: ignore[attr-defined]
    return found


def main() -> None:
    """Run all parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, nargs="*", default=[100_000, 1_000_000], help="sizes of the catalogue")
    parser.add_argument("--visitors", type=int, default=200_000, help="rows in the store")
    parser.add_argument("--start", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("more", nargs="*", help=argparse.SUPPRESS)
    o = parser.parse_args()
    if o.start:
        start(o.start)
        return
    with tempfile.TemporaryDirectory(prefix="nearline-size-") as root:
        found = [row for n in o.items for row in of_items(Path(root) / str(n), n)]
        show([*found, *of_rows(Path(root) / "rows", o.visitors)])


if __name__ == "__main__":
    main()
