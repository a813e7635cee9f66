"""RecBole's atomic files: `name.inter`, with `name.item` beside it; tab-separated, the header says each column's type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nearline.batch.dataset import Dataset, assemble
from nearline.batch.dropped import Dropped
from nearline.batch.importers.columns import first_line, milliseconds, numbers, text
from nearline.batch.importers.reading import Raw, Sieve, read_text
from nearline.batch.importers.table import NAMES
from nearline.schema.errors import NearlineError
from nearline.schema.item import Item

TYPES = ("token", "token_seq", "float", "float_seq")
_ALSO = {"title": ("movie_title", "name", "item_name"), "category": ("class", "genre", "categories", "type")}
_NUMBERS = ("rating", "value", "price")


def detect(path: Path) -> bool:
    """Return whether it is, or holds, a file `.inter` with a typed header."""
    return bool(_inters(path))


def load(path: Path) -> Dataset:
    """Load interactions and, where there is one, the file of items; users' attributes are not used.

    Without times the order of the rows stands in for them. Several files of interactions, such as those of a fixed
    split (`name.train.inter`), are read one after the other. A sequence of tokens in an item becomes tags.

    Raises:
        NearlineError: no columns for users and items, or a file can't be read.
    """
    dropped = Dropped()
    inters = _inters(path)
    tables = [_events(file, dropped) for file in inters]
    table = pa.concat_tables(tables, promote_options="default")
    timed = "timestamp" in table.column_names
    if not timed:
        table = table.append_column("timestamp", pc.multiply(pa.array(range(1, table.num_rows + 1), pa.int64()), 1000))
    folder = path if path.is_dir() else path.parent
    items = [item for file in sorted(folder.glob("*.item")) for item in _items(file)]
    return assemble(inters[0].stem.split(".")[0], table, items, dropped, order_only=not timed)


def _inters(path: Path) -> list[Path]:
    files = sorted(path.glob("*.inter")) if path.is_dir() else [path]
    return [file for file in files if file.suffix == ".inter" and _types(file)]


def _types(file: Path) -> dict[str, str]:
    """Return name to type of a file's columns; none where the header does not say them."""
    pairs = [name.rpartition(":") for name in first_line(file).split("\t")]
    return {name: kind for name, _, kind in pairs} if all(name and kind in TYPES for name, _, kind in pairs) else {}


def _ours(names: list[str]) -> dict[str, str]:
    """Return our names of columns to the file's."""
    plain = {name.lower().replace("_", ""): name for name in reversed(names)}
    found = {}
    for ours, usual in NAMES.items():
        for name in (*usual, *_ALSO.get(ours, ())):
            if ours not in found and (key := name.replace("_", "")) in plain:
                found[ours] = plain[key]
    return found


def _raw(file: Path) -> tuple[Raw, dict[str, str]]:
    """Return the columns that we know under our names, and those to the file's."""
    names = list(_types(file))
    raw, called = read_text(file, names, "\t", header=True), _ours(names)
    table = pa.table({ours: raw.table[name] for ours, name in called.items()})
    return Raw(raw.file, table, raw.first, raw.ragged, called), called


def _events(file: Path, dropped: Dropped) -> pa.Table:
    raw, called = _raw(file)
    if absent := [name for name in ("user_id", "item_id") if name not in called]:
        raise NearlineError(file.name, list(_types(file)), f"it needs columns {' and '.join(absent)}")
    sieve = Sieve(raw, dropped)
    columns: dict[str, Any] = {name: sieve.text(name) for name in ("user_id", "item_id")}
    if sieve.has("timestamp"):
        columns["timestamp"] = sieve.time()
    for name in _NUMBERS:
        if sieve.has(name):
            columns[name] = sieve.number(name)
    for name in ("session_id", "event_type"):
        if sieve.has(name):
            columns[name] = sieve.text(name, required=False)
    default = "rate" if "rating" in columns else "view"
    given = columns.get("event_type")
    columns["event_type"] = pa.repeat(default, raw.table.num_rows) if given is None else pc.fill_null(given, default)
    return sieve.table(columns)


def _items(file: Path) -> list[Item]:
    types = _types(file)
    raw, called = _raw(file)
    if "item_id" not in called:
        return []
    table, items = raw.table, []
    columns: dict[str, list[Any]] = {name: text(table[name]).to_pylist() for name in ("title", "brand") if name in called}
    if "price" in called:
        columns["price"] = numbers(table["price"])[0].to_pylist()
    if "created_at" in called:
        columns["created_at"] = milliseconds(table["created_at"]).to_pylist()
    if "category" in called:
        parts = [(said or "").split(" ") if said else [] for said in text(table["category"]).to_pylist()]
        if types[called["category"]].endswith("_seq"):
            columns["tags"] = [tuple(part for part in some if part) for some in parts]
        columns["category"] = [
            "|".join(some) if types[called["category"]].endswith("_seq") else " ".join(some) for some in parts
        ]
    if "tags" in called and called["tags"] != called.get("category"):
        columns["tags"] = [tuple((said or "").split()) for said in text(table["tags"]).to_pylist()]
    for place, item_id in enumerate(text(table["item_id"]).to_pylist()):
        if item_id:
            items.append(Item(item_id, **{name: v[place] for name, v in columns.items() if v[place] is not None}))
    return items
