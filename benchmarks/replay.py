"""Replay of folds, Parquet on disk to final rows, on one core: features alone, and with co-visitation.

The lake holds the shop's past, repeated with later times until it has as many events as asked; it is read,
decoded and folded into an empty world that has the items registered. Time counts from the first byte read.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.server import SERVER
from benchmarks.table import Row, say, show, spread
from benchmarks.world import arguments, make, tenant_in, write_settings
from nearline.app.tenant import Tenant
from nearline.schema.components import Source
from nearline.stores.catalog import replay_catalog
from nearline.stores.history import history, iter_records
from nearline.stores.log import Movable

COMMAND = "python -m benchmarks.replay"
SHORT, FULL, CHUNK = 2_000_000, 10_000_000, 500_000


def lake_of(folder: Path, events: int, busy: bool = False) -> Tenant:
    """Return a tenant whose lake holds that many events, made where it is not there yet.

    Args:
        folder: of the benchmarks.
        events: how many.
        busy: whether one visitor has a third of them.
    """
    shop = make(folder)
    place = folder / f"replay-{events}{'-busy' if busy else ''}"
    write_settings(place, place / "data")
    tenant = tenant_in(place)
    if tenant.lake.end("user_events") == events:
        return tenant
    shutil.rmtree(place / "data", ignore_errors=True)
    tenant = tenant_in(place)
    source = shop.tenant()
    wanted = ["event_id", "event_type", "user_id", "item_id", "timestamp", "session_id", "rating", "value",
              "category", "brand", "price", "device"]  # fmt: skip
    past = pa.concat_tables(source.lake.scan("user_events", 0, None, wanted), promote_options="default")
    names = [field.name for field in past.schema if pa.types.is_dictionary(field.type)]
    past = past.cast(pa.schema([(f.name, pa.string() if f.name in names else f.type) for f in past.schema]))
    if busy:
        third = pa.array(np.arange(past.num_rows) % 3 == 0)
        past = past.set_column(past.schema.get_field_index("user_id"), "user_id", pc.if_else(third, "busy", past["user_id"]))
    span = past["timestamp"][-1].as_py() - past["timestamp"][0].as_py() + 1
    written, turn = 0, 0
    while written < events:
        times = pc.add(past["timestamp"], turn * span)
        table = past.set_column(past.schema.get_field_index("timestamp"), "timestamp", times)
        for begin in range(0, table.num_rows, CHUNK):
            piece = table.slice(begin, min(CHUNK, events - written))
            if piece.num_rows:
                tenant.lake.write_table("user_events", piece)
                written += piece.num_rows
        turn += 1
    log, from_log = tenant.log(), source.log(read_only=True)
    for _, records in iter_records(from_log, source.lake, "item_events"):
        log.append({"item_events": records})
    assert isinstance(log, Movable)
    log.set_end("user_events", events)
    from_log.close()
    log.close()
    return tenant


def measure(tenant: Tenant, sources: tuple[Source, ...]) -> float:
    """Return events per second from the lake's files to final rows."""
    world = tenant.world(sources)
    log = tenant.log(read_only=True)
    world.catalog.put(replay_catalog(iter_records(log, tenant.lake, "item_events")))
    began = time.perf_counter()
    for events in history(log, tenant.lake, "user_events", kinds=tenant.kinds):
        world.apply(events)
    seconds = time.perf_counter() - began
    log.close()
    return world.offset / seconds


def decoding(tenant: Tenant) -> float:
    """Return events per second of reading and decoding alone."""
    log, began = tenant.log(read_only=True), time.perf_counter()
    n = sum(len(events) for events in history(log, tenant.lake, "user_events", kinds=tenant.kinds))
    log.close()
    return n / (time.perf_counter() - began)


def run(folder: Path, repeats: int, events: int = SHORT) -> list[Row]:
    """Measure both rows."""
    tenant = lake_of(folder, events)
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {SERVER})
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    covisit = tuple(s for s in tenant.parts.sources if s.name == "covisit")
    say(f"reading and decoding alone: {spread([decoding(tenant) for _ in range(repeats)]).text()} events/s")
    alone = spread([measure(tenant, ()) for _ in range(repeats)])
    say(f"features: {alone.text()} events/s")
    pairs = spread([measure(tenant, covisit) for _ in range(repeats)])
    say(f"features and co-visitation: {pairs.text()} events/s")
    whole = spread([measure(tenant, tenant.parts.sources)])
    say(f"all the shop keeps: {whole.text()} events/s")
    os.sched_setaffinity(0, before)
    what = f"replay of folds, events/s, {events:,} in Parquet, one core"
    command = COMMAND + ("" if events == SHORT else f" --events {events}")
    return [
        Row(f"{what}: features", alone.text(), "1,000,000", "3,000,000", command),
        Row(f"{what}: with co-visitation", pairs.text(), "400,000", "1,000,000", command),
    ]


def main() -> None:
    """Run it alone."""
    parser = arguments(__doc__)
    parser.add_argument("--events", type=int, default=SHORT, help="events in the lake")
    o = parser.parse_args()
    show(run(o.folder, o.repeats, o.events))


if __name__ == "__main__":
    main()
