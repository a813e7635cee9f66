"""YooChoose (RecSys Challenge 2015): clicks and purchases in sessions, as published or as session benchmarks prepare them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nearline.batch.dataset import Dataset, assemble
from nearline.batch.dropped import Dropped
from nearline.batch.importers.columns import first_line
from nearline.batch.importers.reading import Raw, Sieve, read_text
from nearline.schema.item import Item

CLICKS, BUYS = "yoochoose-clicks.dat", "yoochoose-buys.dat"
PREPARED = "SessionId\tItemId\tTime"
"""Header of the tab-separated files that session benchmarks make of it."""


def detect(folder: Path) -> bool:
    """Return whether `yoochoose-clicks.dat` is there, or prepared files `yoochoose-clicks*.txt`."""
    return (folder / CLICKS).is_file() or bool(_prepared(folder))


def load(folder: Path) -> Dataset:
    """Load clicks as `click` and, where they are, buys as `purchase` events; a session is an anonymous visitor.

    A click's category is the one it was seen in: "S" is a special offer, and numbers beyond 12 are brands. An item's is
    the last number from 1 to 12. A price of 0 means unknown; the value of a purchase is price times quantity.

    Raises:
        NearlineError: a file can't be read.
    """
    dropped = Dropped()
    if (folder / CLICKS).is_file():
        clicks = _clicks(read_text(folder / CLICKS, ("session", "time", "item", "category"), ","), dropped)
        parts = [clicks]
        if (folder / BUYS).is_file():
            parts.append(_buys(read_text(folder / BUYS, ("session", "time", "item", "price", "quantity"), ","), dropped))
        return assemble(folder.name, pa.concat_tables(parts, promote_options="default"), _items(clicks), dropped)
    names = ("session", "item", "time")
    files = [read_text(path, names, "\t", header=True) for path in _prepared(folder)]
    return assemble(folder.name, pa.concat_tables([_clicks(raw, dropped) for raw in files]), [], dropped)


def _prepared(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in sorted(folder.glob("yoochoose-clicks*.txt")) if first_line(path) == PREPARED]


def _shared(sieve: Sieve, event_type: str, rows: int) -> dict[str, Any]:
    return {
        "user_id": pa.repeat("", rows),
        "item_id": sieve.text("item"),
        "event_type": pa.repeat(event_type, rows),
        "timestamp": sieve.time("time"),
        "session_id": sieve.text("session"),
    }


def _clicks(raw: Raw, dropped: Dropped) -> pa.Table:
    sieve = Sieve(raw, dropped)
    columns = _shared(sieve, "click", raw.table.num_rows)
    if sieve.has("category"):
        category = sieve.text("category", required=False)
        columns["category"] = pc.if_else(pc.equal(category, "0"), pa.scalar(None, pa.string()), category)
    return sieve.table(columns)


def _buys(raw: Raw, dropped: Dropped) -> pa.Table:
    sieve = Sieve(raw, dropped)
    columns = _shared(sieve, "purchase", raw.table.num_rows)
    price, quantity = sieve.number("price"), sieve.number("quantity")
    price = pc.if_else(pc.greater(price, 0), price, pa.scalar(None, pa.float64()))
    quantity = pc.if_else(pc.greater(quantity, 0), quantity, 1.0)
    return sieve.table({**columns, "price": price, "value": pc.multiply(price, quantity)})


def _items(clicks: pa.Table) -> list[Item]:
    """Return items with the last category from 1 to 12 that a click said."""
    told = clicks.filter(pc.match_substring_regex(pc.fill_null(clicks["category"], ""), r"^(1[0-2]?|[2-9])$"))
    told = told.select(["item_id", "category", "timestamp"]).sort_by("timestamp")
    latest = dict(zip(told["item_id"].to_pylist(), told["category"].to_pylist(), strict=True))
    return [Item(item_id, category=category) for item_id, category in latest.items()]
