"""trivago (RecSys Challenge 2019): search sessions of hotels; a click-out says which list was shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nearline.batch.dataset import LISTS, Dataset, assemble
from nearline.batch.dropped import Dropped
from nearline.batch.importers.columns import first_line, missing
from nearline.batch.importers.reading import Raw, Sieve, read_text
from nearline.schema.item import Item

COLUMNS = ("user_id", "session_id", "timestamp", "step", "action_type", "reference", "device", "impressions", "prices")
TYPES = {
    "clickout item": "clickout",
    "interaction item image": "interaction",
    "interaction item info": "interaction",
    "interaction item rating": "interaction",
    "interaction item deals": "interaction",
    "search for item": "lookup",
}
"""Actions about an item. Searches for places, filters and sorting name none, and are left out."""
METADATA = "item_metadata.csv"


def detect(path: Path) -> bool:
    """Return whether it is, or holds, a CSV or Parquet file with the challenge's columns."""
    return bool(_files(path))


def load(path: Path) -> Dataset:
    """Load actions about items, and each click-out's list as something that was shown at that moment.

    An item's price is the last one shown, a click-out's the one it was clicked at; the properties of
    `item_metadata.csv`, where it is, become tags.

    Raises:
        NearlineError: a file can't be read.
    """
    dropped = Dropped()
    parts = [_actions(file, dropped) for file in _files(path)]
    actions = pa.concat_tables(parts).sort_by([("timestamp", "ascending"), ("session_id", "ascending"), ("step", "ascending")])
    events, lists, prices = _lists(actions)
    folder = path if path.is_dir() else path.parent
    tags = _tags(folder / METADATA)
    items = [Item(item_id, price=prices.get(item_id), tags=tags.get(item_id, ())) for item_id in {**tags, **prices}]
    return assemble(path.name if path.is_dir() else path.stem, events, items, dropped, lists=lists)


def _files(path: Path) -> list[Path]:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [file for file in files if set(COLUMNS) <= set(_header(file))]


def _header(file: Path) -> list[str]:
    if file.suffix == ".csv":
        return first_line(file).split(",")
    if file.suffix != ".parquet":
        return []
    try:
        return list(pq.read_schema(file).names)
    except (OSError, pa.ArrowInvalid):
        return []


def _actions(file: Path, dropped: Dropped) -> pa.Table:
    """Return events with the list that was shown, as texts, and the price that was clicked."""
    if file.suffix == ".parquet":
        raw = Raw(file.name, pq.read_table(file, columns=list(COLUMNS)))
    else:
        raw = read_text(file, _header(file), ",", header=True, quotes=True, include=COLUMNS)
    sieve = Sieve(raw, dropped)
    places = pc.index_in(sieve.text("action_type"), value_set=pa.array(list(TYPES)))
    sieve.drop("about no item", "action_type", missing(places))
    columns: dict[str, Any] = {name: sieve.text(name) for name in ("user_id", "session_id")}
    items = sieve.text("reference")
    sieve.drop("about no item", "reference", ~np.asarray(pc.match_substring_regex(pc.fill_null(items, ""), r"^\d+$")))
    return sieve.table(
        {
            **columns,
            "item_id": items,
            "event_type": pc.take(pa.array(list(TYPES.values())), places),
            "timestamp": sieve.time(),
            "device": pc.fill_null(sieve.text("device", required=False), ""),
            "step": sieve.number("step"),
            "impressions": sieve.text("impressions", required=False),
            "prices": sieve.text("prices", required=False),
        }
    )


def _lists(actions: pa.Table) -> tuple[pa.Table, pa.Table, dict[str, float]]:
    """Return the events, what was shown, and the last price of each item; a click-out gets its list's id and its price."""
    shown = np.flatnonzero(pc.is_valid(actions["impressions"]).to_numpy())
    rows = actions.take(pa.array(shown))
    items = pc.split_pattern(rows["impressions"], "|").to_pylist()
    prices = pc.split_pattern(pc.fill_null(rows["prices"], ""), "|").to_pylist()
    clicked, ids = [None] * actions.num_rows, [""] * actions.num_rows
    last: dict[str, float] = {}
    columns = (rows[name].to_pylist() for name in ("item_id", "session_id", "step"))
    for place, ids_shown, said, item_id, session, step in zip(shown.tolist(), items, prices, *columns, strict=True):
        of_list = dict(zip(ids_shown, map(float, said), strict=True)) if len(said) == len(ids_shown) else {}
        last |= of_list
        clicked[place], ids[place] = of_list.get(item_id), f"{session}-{step:.0f}-search"
    events = actions.drop_columns(["step", "impressions", "prices"])
    events = events.append_column("price", pa.array(clicked, pa.float64()))
    events = events.append_column("request_id", pa.array(ids, pa.string()))
    lists = {
        name: events[name].take(pa.array(shown)) for name in ("user_id", "session_id", "request_id", "timestamp", "device")
    }
    surface = pa.repeat("search", len(shown))
    return events, pa.table({**lists, "surface": surface, "items": items, "offset": shown}, schema=LISTS), last


def _tags(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the properties of items."""
    if not path.is_file():
        return {}
    table = read_text(path, ("item_id", "properties"), ",", header=True, quotes=True).table
    rows = zip(table["item_id"].to_pylist(), table["properties"].to_pylist(), strict=True)
    return {item_id: tuple((said or "").split("|")) for item_id, said in rows if item_id}
