"""A user's own table: CSV or Parquet, its columns found by their usual names."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nearline.batch.dataset import Dataset, assemble, reject
from nearline.batch.importers.columns import (
    RAGGED,
    first_line,
    milliseconds,
    missing,
    numbers,
    read_text,
    text,
)
from nearline.schema.errors import NearlineError
from nearline.schema.item import Item

NAMES: dict[str, tuple[str, ...]] = {
    "user_id": ("user_id", "user", "visitor_id", "visitor", "session_id"),
    "item_id": ("item_id", "item", "movie_id", "product_id"),
    "event_type": ("event_type", "event", "action_type", "behavior"),
    "timestamp": ("timestamp", "ts", "time", "unixtime"),
    "rating": ("rating",),
    "value": ("value", "amount"),
    "price": ("price",),
    "session_id": ("session_id", "session"),
    "device": ("device",),
    "event_id": ("event_id",),
    "category": ("category", "category_id", "genres"),
    "brand": ("brand",),
    "title": ("title",),
    "tags": ("tags", "genres"),
    "created_at": ("created_at",),
}
"""Our column to the names it goes by, the first found counts; case and underscores don't matter (`userId`).

Where no column is for users, sessions stand in for them."""

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet")
_NUMBERS = ("rating", "value", "price")
_ITEM = ("title", "category", "brand", "price", "tags", "created_at")


def detect(folder: Path) -> bool:
    """Return whether it is, or holds, a table with columns for users, items and times."""
    return bool(_events(folder))


def load(folder: Path) -> Dataset:
    """Load a table of events, given by itself or as the only one of its folder.

    A row without an event type is a `rate` where it has a rating, else a `view`. Items get the last
    attributes that rows say; what another table beside it says, one with items but no users, goes before
    (title, category, brand, price, tags split by "|", created_at).

    Raises:
        NearlineError: several tables of events, an unreadable file, or no usable row.
    """
    files = _events(folder)
    if len(files) != 1:
        found = [file.name for file in files]
        raise NearlineError("folder", found, "give the one file of events, with users, items and times")
    table, ragged = _read(files[0])
    columns: dict[str, Any] = {}
    bad = {}
    for name in ("user_id", "item_id"):
        columns[name] = text(table[name])
        bad[f"no {name}"] = missing(columns[name])
    columns["timestamp"] = milliseconds(table["timestamp"])
    bad["bad timestamp"] = missing(columns["timestamp"])
    for name in table.column_names:
        if name in _NUMBERS:
            columns[name], bad[f"bad {name}"] = numbers(table[name])
        elif name not in columns and name != "created_at":
            columns[name] = text(table[name])
    columns["event_type"] = _types(columns, table.num_rows)
    events, dropped = reject(pa.table(columns), bad)
    if ragged:
        dropped = {RAGGED: ragged} | dropped
    items = _items(files[0], events)
    kept = [name for name in events.column_names if name not in ("title", "tags")]
    name = folder.name if folder.is_dir() else folder.stem
    return assemble(name, events.select(kept), items, dropped)


def _types(columns: dict[str, Any], rows: int) -> Any:
    """Return event types: those given, else "rate" where there is a rating and "view" where there is none."""
    default: Any = pa.repeat("view", rows)
    if "rating" in columns:
        default = pc.if_else(pc.is_valid(columns["rating"]), "rate", "view")
    return pc.coalesce(columns["event_type"], default) if "event_type" in columns else default


def _items(events_file: Path, events: pa.Table) -> list[Item]:
    """Return items from the tables of items beside the events, completed by what the events say of them."""
    said: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    ordered = events.sort_by("timestamp") if set(_ITEM) & set(events.column_names) else events
    for name in _ITEM:
        if name in ordered.column_names:
            has = ordered.filter(pc.is_valid(ordered[name]))
            last = has.group_by("item_id", use_threads=False).aggregate([(name, "last")])
            for item_id, value in zip(last["item_id"].to_pylist(), last[f"{name}_last"].to_pylist(), strict=True):
                said[item_id][name] = value
    for file in sorted(events_file.parent.iterdir()):
        found = _columns(file)
        if "item_id" in found and "user_id" not in found and set(_ITEM) & set(found):
            table, _ = _read(file)
            for item_id, values in _rows(table):
                said[item_id] |= values
    for values in said.values():
        if "tags" in values:
            values["tags"] = tuple(tag for tag in values["tags"].split("|") if tag)
    return [Item(item_id, **values) for item_id, values in said.items()]


def _rows(table: pa.Table) -> Sequence[tuple[str, dict[str, Any]]]:
    """Return the items of a table with the attributes that it says."""
    columns = {name: text(table[name]) for name in table.column_names if name == "item_id" or name in _ITEM}
    if "price" in columns:
        columns["price"] = numbers(table["price"])[0]
    if "created_at" in columns:
        columns["created_at"] = milliseconds(table["created_at"])
    rows = pa.table(columns).filter(pc.is_valid(columns["item_id"])).to_pylist()
    return [(row.pop("item_id"), {k: v for k, v in row.items() if v is not None}) for row in rows]


def _events(folder: Path) -> list[Path]:
    """Return the tables of events: the file itself, or those in the folder."""
    files = sorted(folder.iterdir()) if folder.is_dir() else [folder]
    return [file for file in files if {"user_id", "item_id", "timestamp"} <= set(_columns(file))]


def _columns(file: Path) -> dict[str, str]:
    """Return our names of a file's columns to its own; none where it is no table."""
    by_plain = {name.strip().lower().replace("_", ""): name for name in reversed(_header(file))}
    out = {}
    for ours, names in NAMES.items():
        for name in names:
            if (plain := name.replace("_", "")) in by_plain:
                out[ours] = by_plain[plain]
                break
    return out


def _header(file: Path) -> list[str]:
    if file.suffix.lower() not in SUFFIXES or not file.is_file():
        return []
    if file.suffix.lower() == ".parquet":
        try:
            return list(pq.read_schema(file).names)
        except (OSError, pa.ArrowInvalid):
            return []
    line = first_line(file)
    return next(csv.reader([line], delimiter=_delimiter(line)), [])


def _delimiter(line: str) -> str:
    return max(",\t;", key=line.count)


def _read(file: Path) -> tuple[pa.Table, int]:
    """Return the columns that we know, under our names, and the number of ragged rows."""
    found = _columns(file)
    wanted = list(dict.fromkeys(found.values()))
    if file.suffix.lower() == ".parquet":
        table, ragged = pq.read_table(file, columns=wanted), 0
    else:
        line = first_line(file)
        table, ragged = read_text(file, _header(file), _delimiter(line), header=True, quotes=True, include=wanted)
    return pa.table({ours: table[theirs] for ours, theirs in found.items()}), ragged
