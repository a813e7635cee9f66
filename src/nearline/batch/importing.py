"""Importing: a dataset becomes the beginning of a tenant's log and lake."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pyarrow as pa

from nearline.app.tenant import Meta, Tenant
from nearline.batch.dataset import Dataset
from nearline.schema.clock import WallClock
from nearline.schema.errors import NearlineError
from nearline.schema.event import Record
from nearline.schema.item import Item

CHUNK = 100_000
Progress = Callable[[str, int, int], None]
"""Called with what is done, how many of it, of how many."""


def item_record(item: Item, now: int) -> Record:
    """Return the `item_events` record that registers an item at `now` (ms UTC)."""
    return Record("", "put", "", item.item_id, now, now, context=msgspec.json.encode(item).decode())


def import_dataset(
    tenant: Tenant,
    dataset: Dataset,
    events: pa.Table | None = None,
    data_clock: bool = True,
    progress: Progress = lambda what, done, total: None,
) -> int:
    """Write items to the log and events to the lake, and anchor the clock; return the number of events.

    Args:
        tenant: whose log must hold no events yet, and must not be open in another process.
        events: the part of the dataset's events to import; all by default.
        data_clock: whether time goes on from the data's last event (history from the past) or is the wall clock's.

    Raises:
        NearlineError: there are events already, or another process writes.
    """
    table = dataset.events if events is None else events
    unknown = set(table["event_type"].unique().to_pylist()) - set(tenant.kinds.names)
    if unknown:
        raise NearlineError("event_type", sorted(unknown), "declare these event types in the application")
    log = tenant.log()
    try:
        if log.end("user_events") or tenant.lake.end("user_events"):
            raise NearlineError("storage.path", str(tenant.folder), "it holds events already; choose an empty folder")
        last = int(table["timestamp"][-1].as_py()) if table.num_rows else WallClock().now()
        for begin in range(0, len(dataset.items), 5_000):
            some = dataset.items[begin : begin + 5_000]
            log.append({"item_events": [item_record(item, last) for item in some]})
            progress("items", begin + len(some), len(dataset.items))
        for begin in range(0, table.num_rows, CHUNK):
            tenant.lake.write_table("user_events", table.slice(begin, CHUNK))
            progress("events", min(begin + CHUNK, table.num_rows), table.num_rows)
        log.set_end("user_events", tenant.lake.end("user_events"))
    finally:
        log.close()
    # One millisecond on, so that nothing asked now ties with the last event.
    anchor = last + 1 if data_clock else 0
    tenant.write_meta(Meta(dataset.order_only, anchor, WallClock().now(), dataset.name))
    return int(table.num_rows)
