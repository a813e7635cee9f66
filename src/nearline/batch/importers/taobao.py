"""Taobao's UserBehavior: views, carts, favourites and purchases of a shop."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from nearline.batch.dataset import Dataset, assemble, reject
from nearline.batch.importers.columns import RAGGED, first_line, milliseconds, missing, read_text, text
from nearline.schema.item import Item

FILE = "UserBehavior.csv"
COLUMNS = ("user_id", "item_id", "category_id", "behavior", "ts")
TYPES = {"pv": "view", "cart": "add_to_cart", "fav": "like", "buy": "purchase"}


def detect(folder: Path) -> bool:
    """Return whether `UserBehavior.csv` is there with its five columns, named or (as published) not."""
    fields = first_line(folder / FILE).split(",")
    return tuple(fields) == COLUMNS or (len(fields) == len(COLUMNS) and fields[3] in TYPES)


def load(folder: Path) -> Dataset:
    """Load the folder; an item that changed its category has the last one, its events the one of their time.

    Raises:
        NearlineError: the file can't be read.
    """
    header = first_line(folder / FILE).split(",")[0] == COLUMNS[0]
    table, ragged = read_text(folder / FILE, COLUMNS, ",", header=header)
    places = pc.index_in(table["behavior"], value_set=pa.array(list(TYPES)))
    events = pa.table(
        {
            "user_id": text(table["user_id"]),
            "item_id": text(table["item_id"]),
            "event_type": pc.take(pa.array(list(TYPES.values())), places),
            "timestamp": milliseconds(table["ts"]),
            "category": text(table["category_id"]),
        }
    )
    events, dropped = reject(
        events,
        {
            "no user_id": missing(events["user_id"]),
            "no item_id": missing(events["item_id"]),
            "unknown behavior": missing(events["event_type"]),
            "bad timestamp": missing(events["timestamp"]),
        },
    )
    ordered = events.select(["item_id", "category", "timestamp"]).sort_by("timestamp")
    latest = dict(zip(ordered["item_id"].to_pylist(), ordered["category"].to_pylist(), strict=True))
    items = [Item(item_id, category=category or "") for item_id, category in latest.items()]
    return assemble(folder.name, events, items, {RAGGED: ragged} | dropped if ragged else dropped)
