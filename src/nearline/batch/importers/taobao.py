"""Taobao's UserBehavior: views, carts, favourites and purchases of a shop."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from nearline.batch.dataset import Dataset, assemble
from nearline.batch.dropped import Dropped
from nearline.batch.importers.columns import first_line, missing, text
from nearline.batch.importers.reading import Sieve, read_text
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
    raw = read_text(folder / FILE, COLUMNS, ",", header=header)
    dropped = Dropped()
    sieve = Sieve(raw, dropped)
    users, goods = sieve.text("user_id"), sieve.text("item_id")
    places = pc.index_in(text(raw.table["behavior"]), value_set=pa.array(list(TYPES)))
    sieve.drop("unknown behavior", "behavior", missing(places))
    events = sieve.table(
        {
            "user_id": users,
            "item_id": goods,
            "event_type": pc.take(pa.array(list(TYPES.values())), places),
            "timestamp": sieve.time("ts"),
            "category": sieve.text("category_id", required=False),
        }
    )
    ordered = events.select(["item_id", "category", "timestamp"]).sort_by("timestamp")
    latest = dict(zip(ordered["item_id"].to_pylist(), ordered["category"].to_pylist(), strict=True))
    items = [Item(item_id, category=category or "") for item_id, category in latest.items()]
    return assemble(folder.name, events, items, dropped)
