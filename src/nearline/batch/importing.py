"""Importing: a dataset becomes the beginning of a tenant's log and lake. One that was broken off goes on where it was."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pyarrow as pa
import xxhash

from nearline.app.tenant import IMPORTING, Meta, Tenant
from nearline.batch.dataset import Dataset
from nearline.schema.clock import WallClock
from nearline.schema.errors import NearlineError
from nearline.schema.event import Record
from nearline.schema.item import Item
from nearline.schema.served import IMPRESSION, Impression
from nearline.stores.durable import sync
from nearline.stores.encode import complete, records_from_table
from nearline.stores.log import Log, Movable

CHUNK = 100_000
ITEMS = 5_000
Progress = Callable[[str, int, int], None]
"""Called with what is done, how many of it, of how many."""


class Begun(msgspec.Struct, frozen=True):
    """An import under way, kept in the tenant's folder until it is done.

    Attributes:
        dataset: its name.
        digest: of its content.
        items_from: where its items begin in `item_events`.
    """

    dataset: str
    digest: str
    items_from: int


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
    """Write items to the log, events and lists to the lake, and anchor the clock; return the number of events.

    Killed in the middle and started again with the same data it goes on: a batch of items is in the log or not, a file
    in the lake or not, and their ends say how many rows are done.

    Args:
        tenant: whose log must hold no events yet, and must not be open in another process.
        events: the part of the dataset's events to import, without lists; all by default.
        data_clock: whether time goes on from the data's last event (history from the past) or is the wall clock's.

    Raises:
        NearlineError: there are events already, another import was broken off here, or another process writes.
    """
    if events is not None:
        dataset = Dataset(dataset.name, dataset.items, events, dataset.order_only, dataset.positive)
    check_types(tenant, dataset)
    rows = int(dataset.rows.num_rows)
    log = tenant.log(importing=True)
    try:
        begun = _begin(tenant, log, dataset)
        last = int(dataset.rows["timestamp"][-1].as_py()) if rows else WallClock().now()
        for begin in range(log.end("item_events") - begun.items_from, len(dataset.items), ITEMS):
            some = dataset.items[begin : begin + ITEMS]
            log.append({"item_events": [item_record(item, last) for item in some]})
            progress("items", begin + len(some), len(dataset.items))
        if isinstance(log, Movable) and not log.shared:
            _to_lake(tenant, log, dataset, progress)
        else:
            _to_log(log, dataset, begun.digest, progress)
        # One millisecond on, so that nothing asked now ties with the last event.
        anchor = last + 1 if data_clock else 0
        tenant.write_meta(Meta(dataset.order_only, anchor, WallClock().now(), dataset.name))
        (tenant.folder / IMPORTING).unlink()
    finally:
        log.close()
    return rows


def _to_lake(tenant: Tenant, log: Movable, dataset: Dataset, progress: Progress) -> None:
    """Write events and lists to the lake alone, and move the log's ends behind them."""
    lake, rows = tenant.lake, int(dataset.rows.num_rows)
    done = lake.end("user_events")
    for chunk in dataset.chunks(CHUNK, done):
        lake.write_table("user_events", chunk)
        done += chunk.num_rows
        progress("events", done, rows)
    if dataset.lists is not None:
        for begin in range(lake.end("feedback"), dataset.lists.num_rows, CHUNK):
            lake.write_table("feedback", _impressions(dataset.lists.slice(begin, CHUNK)))
            progress("lists", min(begin + CHUNK, dataset.lists.num_rows), dataset.lists.num_rows)
        log.set_end("feedback", lake.end("feedback"))
    log.set_end("user_events", lake.end("user_events"))


def _to_log(log: Log, dataset: Dataset, name: str, progress: Progress) -> None:
    """Append events and lists to a log that others read: each event has an id, so that what is repeated counts once."""
    rows = int(dataset.rows.num_rows)
    ends = {topic: sum(log.partition(n).end(topic) for n in range(log.partitions)) for topic in ("user_events", "feedback")}
    done = ends["user_events"] // ITEMS * ITEMS
    for chunk in dataset.chunks(ITEMS, done):
        records = records_from_table(complete(chunk, "user_events", done, ""))
        for place, record in enumerate(records, done):
            record.event_id = record.event_id or f"{name}-{place}"
        log.append({"user_events": records})
        done += len(records)
        progress("events", done, rows)
    if dataset.lists is not None:
        for begin in range(ends["feedback"] // ITEMS * ITEMS, dataset.lists.num_rows, ITEMS):
            table = _impressions(dataset.lists.slice(begin, ITEMS))
            log.append({"feedback": records_from_table(complete(table, "feedback", begin, ""))})
            progress("lists", min(begin + ITEMS, dataset.lists.num_rows), dataset.lists.num_rows)


def check_types(tenant: Tenant, dataset: Dataset) -> None:
    """Refuse data with event types that the application does not declare.

    Raises:
        NearlineError: there are such.
    """
    unknown = set(dataset.rows["event_type"].unique().to_pylist()) - set(tenant.kinds.names)
    if unknown:
        raise NearlineError("event_type", sorted(unknown), "declare these event types in the application")


def _begin(tenant: Tenant, log: Log, dataset: Dataset) -> Begun:
    """Return the import that is under way, or begin one."""
    path, mine = tenant.folder / IMPORTING, digest(dataset)
    if path.exists():
        begun = msgspec.json.decode(path.read_bytes(), type=Begun)
        if begun.digest != mine:
            remedy = (
                f"an import of other data ({begun.dataset}) was broken off here; repeat that one, or choose an empty folder"
            )
            raise NearlineError("storage.path", str(tenant.folder), remedy)
        return begun
    if any(log.end(topic) or tenant.lake.end(topic) for topic in ("user_events", "feedback")):
        raise NearlineError("storage.path", str(tenant.folder), "it holds events already; choose an empty folder")
    begun = Begun(dataset.name, mine, log.end("item_events"))
    _write(path, msgspec.json.encode(begun))
    return begun


def _write(path: Path, content: bytes) -> None:
    """Write a small file so that it is there whole and on disk, or not at all."""
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(content)
    sync(temporary)
    os.replace(temporary, path)
    sync(path.parent)


def digest(dataset: Dataset) -> str:
    """Return a hash of the data that an import writes: whose, of what, which and when, and the items."""
    hashed = xxhash.xxh3_64()
    for table in (dataset.rows.select(["user_id", "item_id", "event_type", "timestamp"]), dataset.lists):
        for batch in table.to_batches(max_chunksize=1 << 20) if table is not None else ():
            plain = [c.cast(c.type.value_type) if pa.types.is_dictionary(c.type) else c for c in batch.columns]
            hashed.update(pa.RecordBatch.from_arrays(plain, batch.schema.names).serialize())
    for item in dataset.items:
        hashed.update(msgspec.json.encode(item))
    return hashed.hexdigest()


def _impressions(lists: pa.Table) -> pa.Table:
    """Return lists as rows of the topic `feedback`, as serving writes them."""
    contexts = []
    columns = (lists[name].to_pylist() for name in ("items", "timestamp", "offset", "surface", "device"))
    for items, now, offset, surface, device in zip(*columns, strict=True):
        shown = Impression(items, [0.0] * len(items), [], now, offset, surface, "", "imported", device=device)
        contexts.append(msgspec.json.encode(shown).decode())
    rows = lists.select(["user_id", "session_id", "request_id", "timestamp", "device"])
    rows = rows.append_column("event_id", rows["request_id"])
    rows = rows.append_column("event_type", pa.repeat(IMPRESSION, rows.num_rows))
    return rows.append_column("context", pa.array(contexts, pa.string()))
