"""A user's own table: CSV or Parquet, its columns found by their usual names."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nearline.batch.dataset import Dataset, assemble
from nearline.batch.dropped import Dropped
from nearline.batch.importers.column_map import ColumnMap
from nearline.batch.importers.columns import first_line, milliseconds, numbers, text
from nearline.batch.importers.reading import Raw, Sieve, read_text
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
NO_MAP = ColumnMap()
_NUMBERS = ("rating", "value", "price")
_KEY = ("user_id", "item_id", "timestamp")
_ITEM = ("title", "category", "brand", "price", "tags", "created_at")


def detect(folder: Path) -> bool:
    """Return whether it is, or holds, a table with columns for users, items and times."""
    return bool(_events(folder))


def load(folder: Path, mapping: ColumnMap = NO_MAP) -> Dataset:
    """Load a table of events, given by itself or as the only one of its folder.

    A row without an event type is a `rate` where it has a rating, else a `view`. Items get the last
    attributes that rows say; what another table beside it says, one with items but no users, goes before
    (title, category, brand, price, tags split by "|", created_at).

    Args:
        folder: or file.
        mapping: our columns to those of the files; others are found by their usual names.

    Raises:
        NearlineError: several tables of events, an unreadable file, a column that is not there, or no usable row.
    """
    file = _events_file(folder, mapping)
    _check(file, mapping)
    raw = _read(file, mapping.events)
    dropped = Dropped()
    sieve = Sieve(raw, dropped)
    columns: dict[str, Any] = {name: sieve.text(name) for name in ("user_id", "item_id")}
    columns["timestamp"] = sieve.time()
    for name in raw.table.column_names:
        if name in _NUMBERS:
            columns[name] = sieve.number(name)
        elif name not in columns and name != "created_at":
            columns[name] = sieve.text(name, required=False)
    columns["event_type"] = _types(columns, raw.table.num_rows, mapping)
    events = sieve.table(columns)
    items = _items(file, events, mapping)
    kept = [name for name in events.column_names if name not in ("title", "tags")]
    name = folder.name if folder.is_dir() else folder.stem
    return assemble(name, events.select(kept), items, dropped)


def _check(file: Path, mapping: ColumnMap) -> None:
    """Refuse a mapping that names columns which are nowhere; those of items may be in either kind of table."""
    headers = {file: set(_header(file))} | {other: set(_header(other)) for other in _items_files(file, mapping)}
    everywhere = set().union(*headers.values())
    absent = {
        f"{ours}={theirs}"
        for part, there in ((mapping.events, headers[file]), (mapping.items, everywhere))
        for ours, theirs in part.items()
        if not theirs.startswith("=") and theirs not in (everywhere if ours in _ITEM else there)
    }
    if absent:
        shown = "; ".join(f"{path.name} has {', '.join(_header(path))}" for path in headers)
        raise NearlineError("--map", ", ".join(sorted(absent)), shown)


def _types(columns: dict[str, Any], rows: int, mapping: ColumnMap) -> Any:
    """Return event types: those given, else "rate" where there is a rating and "view" where there is none."""
    default: Any = pa.repeat("view", rows)
    if "rating" in columns:
        default = pc.if_else(pc.is_valid(columns["rating"]), "rate", "view")
    given = pc.coalesce(columns["event_type"], default) if "event_type" in columns else default
    if not mapping.event_types:
        return given
    places = pc.index_in(given, value_set=pa.array(list(mapping.event_types)))
    return pc.coalesce(pc.take(pa.array(list(mapping.event_types.values()), pa.string()), places), given)


def _items(events_file: Path, events: pa.Table, mapping: ColumnMap) -> list[Item]:
    """Return items from the tables of items beside the events, completed by what the events say of them."""
    said: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    ordered = events.sort_by("timestamp") if set(_ITEM) & set(events.column_names) else events
    for name in _ITEM:
        if name in ordered.column_names:
            has = ordered.filter(pc.is_valid(ordered[name]))
            last = has.group_by("item_id", use_threads=False).aggregate([(name, "last")])
            for item_id, value in zip(last["item_id"].to_pylist(), last[f"{name}_last"].to_pylist(), strict=True):
                said[item_id][name] = value
    for file in _items_files(events_file, mapping):
        for item_id, values in _rows(_read(file, mapping.items).table):
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
    return [file for file in files if set(_KEY) <= set(_columns(file))]


def _events_file(folder: Path, mapping: ColumnMap) -> Path:
    if mapping.events_file:
        return _named(folder, mapping.events_file)
    if mapping.events:
        key = {name: mapping.events[name] for name in _KEY if name in mapping.events and mapping.events[name][:1] != "="}
        files = [folder] if folder.is_file() else sorted(folder.iterdir())
        files = [file for file in files if set(key.values()) <= set(_header(file)) and set(_KEY) <= set(_columns(file, key))]
        if not files:
            seen = {file.name: _header(file) for file in ([folder] if folder.is_file() else sorted(folder.iterdir()))}
            headers = "; ".join(f"{name} has {', '.join(columns)}" for name, columns in seen.items() if columns)
            raise NearlineError(
                "--map", ", ".join(f"{k}={v}" for k, v in key.items()), f"no table has these columns: {headers}"
            )
    else:
        files = _events(folder)
    if len(files) != 1:
        found = [file.name for file in files]
        raise NearlineError("folder", found, "give the one file of events, with users, items and times")
    return files[0]


def _items_files(events_file: Path, mapping: ColumnMap) -> list[Path]:
    if mapping.items_file:
        return [_named(events_file.parent, mapping.items_file)]
    found = []
    for file in sorted(events_file.parent.iterdir()):
        columns = _columns(file, mapping.items) if file != events_file else {}
        if "item_id" in columns and "user_id" not in columns and set(_ITEM) & set(columns):
            found.append(file)
    return found


def _named(folder: Path, name: str) -> Path:
    path = (folder if folder.is_dir() else folder.parent) / name
    if not _header(path):
        raise NearlineError("--map", str(path), "name a CSV or Parquet file that exists")
    return path


def _columns(file: Path, given: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return our names of a file's columns to its own; none where it is no table."""
    header = _header(file)
    by_plain = {name.strip().lower().replace("_", ""): name for name in reversed(header)}
    out = {ours: name for ours, name in (given or {}).items() if name in header or (name.startswith("=") and header)}
    for ours, names in NAMES.items():
        for name in names:
            if ours not in out and (plain := name.replace("_", "")) in by_plain:
                out[ours] = by_plain[plain]
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


def _read(file: Path, given: Mapping[str, str]) -> Raw:
    """Return the columns that we know, under our names."""
    found, header = _columns(file, given), _header(file)
    wanted = list(dict.fromkeys(name for name in found.values() if not name.startswith("=")))
    if file.suffix.lower() == ".parquet":
        raw = Raw(file.name, pq.read_table(file, columns=wanted))
    else:
        line = first_line(file)
        raw = read_text(file, header, _delimiter(line), header=True, quotes=True, include=wanted)
    rows = raw.table.num_rows
    columns = {
        ours: pa.repeat(theirs[1:], rows) if theirs.startswith("=") else raw.table[theirs] for ours, theirs in found.items()
    }
    return Raw(file.name, pa.table(columns), raw.first, raw.ragged, found)
