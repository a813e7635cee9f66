"""Diginetica (CIKM Cup 2016): views and purchases of a shop in sessions, and searches with the list shown and clicked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nearline.batch.dataset import Dataset, assemble
from nearline.batch.dropped import Dropped
from nearline.batch.importers.columns import first_line, milliseconds, missing, numbers, text
from nearline.batch.importers.reading import Sieve, read_text
from nearline.schema.item import Item

VIEWS = ("sessionId", "userId", "itemId", "timeframe", "eventdate")
_FILES = {"train-item-views.csv": "view", "train-purchases.csv": "purchase"}


def detect(folder: Path) -> bool:
    """Return whether `train-item-views.csv` is there with its columns."""
    return set(VIEWS) <= set(_header(folder / "train-item-views.csv"))


def load(folder: Path) -> Dataset:
    """Load views and purchases; whoever has no user id is an anonymous visitor by his session.

    A time is the date and the milliseconds since the session began. Prices are as published, rounded powers of two.

    Raises:
        NearlineError: a file can't be read.
    """
    dropped = Dropped()
    parts = [_events(folder / file, kind, dropped) for file, kind in _FILES.items() if (folder / file).is_file()]
    return assemble(folder.name, pa.concat_tables(parts), _items(folder), dropped)


def _events(path: Path, event_type: str, dropped: Dropped) -> pa.Table:
    raw = read_text(path, _header(path), ";", header=True)
    sieve = Sieve(raw, dropped)
    sessions, items = sieve.text("sessionId"), sieve.text("itemId")
    days = milliseconds(raw.table["eventdate"])
    sieve.drop("bad timestamp", "eventdate", missing(days))
    since, bad = numbers(raw.table["timeframe"])
    sieve.drop("bad timestamp", "timeframe", bad)
    columns: dict[str, Any] = {
        "user_id": pc.fill_null(text(raw.table["userId"]), ""),
        "item_id": items,
        "event_type": pa.repeat(event_type, raw.table.num_rows),
        "timestamp": pc.add(pc.fill_null(days, 0), pc.fill_null(since, 0.0).cast(pa.int64(), safe=False)),
        "session_id": sessions,
    }
    return sieve.table(columns)


def _items(folder: Path) -> list[Item]:
    """Return items with price and category; their names are published as numbers of words, which become tags."""
    said: dict[str, dict[str, Any]] = {}
    for file in ("products.csv", "product-categories.csv"):
        path = folder / file
        if not path.is_file():
            continue
        table = read_text(path, _header(path), ";", header=True).table
        ids = text(table["itemId"]).to_pylist()
        if "pricelog2" in table.column_names:
            exponents = numbers(table["pricelog2"])[0].to_numpy(zero_copy_only=False)
            prices = np.where(np.isnan(exponents), np.nan, np.exp2(exponents))
            for item_id, price in zip(ids, prices.tolist(), strict=True):
                if item_id and not np.isnan(price):
                    said.setdefault(item_id, {})["price"] = price
        if "product.name.tokens" in table.column_names:
            for item_id, words in zip(ids, table["product.name.tokens"].to_pylist(), strict=True):
                if item_id and words:
                    said.setdefault(item_id, {})["tags"] = tuple(f"word {word}" for word in words.split(",") if word)
        if "categoryId" in table.column_names:
            for item_id, category in zip(ids, text(table["categoryId"]).to_pylist(), strict=True):
                if item_id and category:
                    said.setdefault(item_id, {})["category"] = category
    return [Item(item_id, **values) for item_id, values in said.items()]


def _header(path: Path) -> list[str]:
    return [name.strip('"') for name in first_line(path).split(";")]
