"""Records, tables of the lake, and numbers (`[n] EVENT`): how each becomes the other.

Numbers made from records and from the table of the same records are the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nearline.schema.errors import NearlineError
from nearline.schema.event import DEVICES, EVENT, Events, Record, Role, Topic, empty_events
from nearline.schema.ids import key, key32, keys, visitor_key, visitor_keys
from nearline.schema.kernel import f8, inline, kernel, record
from nearline.schema.kinds import OWN, Kinds
from nearline.schema.query import SURFACE_CODES
from nearline.schema.words import query_words

EVENT_COLUMNS = (
    "offset", "timestamp", "user_key", "item_key", "session_key", "price", "value", "category_key",
    "brand_key", "dwell_ms", "rating", "event_type", "device", "request_id", "page", "context",
)  # fmt: skip
"""The lake columns that `events_from_table` reads."""

_TEXT, _NAME = pa.string(), pa.dictionary(pa.int32(), pa.string())
SCHEMA: Any = pa.schema(
    [
        ("tenant", _NAME),
        ("topic", _NAME),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("ingested_at", pa.int64()),
        ("event_id", _TEXT),
        ("user_id", _TEXT),
        ("item_id", _TEXT),
        ("event_type", _NAME),
        ("timestamp", pa.int64()),
        ("session_id", _TEXT),
        ("request_id", _TEXT),
        ("page", _NAME),
        ("position", pa.int64()),
        ("rating", pa.float64()),
        ("dwell_time", pa.float64()),
        ("dwell_ms", pa.int64()),
        ("value", pa.float64()),
        ("category", _NAME),
        ("brand", _NAME),
        ("price", pa.float64()),
        ("device", _NAME),
        ("context", _TEXT),
        ("user_key", pa.uint64()),
        ("item_key", pa.uint64()),
        ("session_key", pa.uint64()),
        ("category_key", pa.uint32()),
        ("brand_key", pa.uint32()),
    ]
)
"""Columns of every topic. Times are ms UTC, `dwell_time` is `dwell_ms` in seconds; strings are never null."""

IDENTIFIED_COLUMNS = (*EVENT_COLUMNS, "event_id", "ingested_at")
"""Those, and what tells duplicates."""

ALIASES = {"action_type": "event_type"}
RECORD_COLUMNS: tuple[str, ...] = Record.__struct_fields__
DERIVED = {"tenant", "topic", "partition", "offset"} | {name for name in SCHEMA.names if name.endswith("_key")}
_DEVICE = {name: code for code, name in enumerate(DEVICES)}


@inline
def _fixed(value: float, unit: float, limit: float) -> int:
    """Return a number in whole parts of `1 / unit`, missing 0, held to +-limit."""
    scaled = np.rint(value * unit)
    return 0 if np.isnan(scaled) else int(min(max(scaled, -limit), limit))


@kernel(record(EVENT), f8[:], f8[:], f8[:], f8[:])
def _fix(
    out: Events,
    price: NDArray[np.float64],
    value: NDArray[np.float64],
    rating: NDArray[np.float64],
    dwell: NDArray[np.float64],
) -> None:
    for i in range(len(out)):
        row: Any = out[i]
        row.price = _fixed(price[i], 1000.0, 2.0**62)
        row.value = _fixed(value[i], 1000.0, 2.0**62)
        row.rating = _fixed(rating[i], 100.0, 32767.0)
        row.dwell = _fixed(dwell[i], 1.0, 2.0**31 - 1)


def events_from_records(records: Sequence[Record], first_offset: int, kinds: Kinds) -> Events:
    """Return consecutive records as numbers, `[n] EVENT`; types and devices that nobody declared become 0."""
    out = empty_events(len(records))
    if not records:
        return out
    column = dict(zip(RECORD_COLUMNS, zip(*map(msgspec.structs.astuple, records), strict=True), strict=True))
    out["offset"] = np.arange(first_offset, first_offset + len(records))
    out["ts"] = column["timestamp"]
    out["user"], out["session"] = visitor_keys(column["user_id"], column["session_id"])
    out["item"] = keys(column["item_id"])
    out["category"], out["brand"] = _each(column["category"], key32), _each(column["brand"], key32)
    shown = np.array([*map(bool, column["request_id"])])
    surface = np.zeros(len(records), np.int64)
    places = np.flatnonzero(shown)
    surface[places] = [_surface(records[place].request_id, records[place].page) for place in places.tolist()]
    _numbers(
        out,
        kinds,
        kind=np.array([*map(kinds.codes.get, column["event_type"], repeat(0))]),
        device=np.array([*map(_DEVICE.get, column["device"], repeat(0))]),
        shown=shown,
        surface=surface,
        price=np.array(column["price"], np.float64),
        value=np.array(column["value"], np.float64),
        rating=np.array(column["rating"], np.float64),
        dwell=np.array(column["dwell_ms"], np.float64),
    )
    searches = np.flatnonzero(out["role"] == Role.SEARCH)
    _search(out, searches, [records[place].context for place in searches.tolist()])
    return out


def events_from_table(table: pa.Table, kinds: Kinds) -> Events:
    """Return rows of the lake as numbers, `[n] EVENT`; the table holds `EVENT_COLUMNS`."""
    out = empty_events(table.num_rows)
    if not len(out):
        return out
    for name, column in (
        ("offset", "offset"),
        ("ts", "timestamp"),
        ("user", "user_key"),
        ("item", "item_key"),
        ("session", "session_key"),
        ("category", "category_key"),
        ("brand", "brand_key"),
    ):
        out[name] = table[column].to_numpy()
    _numbers(
        out,
        kinds,
        kind=mapped(table["event_type"], kinds.code, np.int64),
        device=mapped(table["device"], lambda name: _DEVICE.get(name, 0), np.int64),
        shown=(shown := pc.binary_length(table["request_id"]).to_numpy() > 0),
        surface=_surfaces(table["request_id"], table["page"]) * shown,
        price=_floats(table["price"]),
        value=_floats(table["value"]),
        rating=_floats(table["rating"]),
        dwell=_floats(table["dwell_ms"]),
    )
    searches = np.flatnonzero(out["role"] == Role.SEARCH)
    _search(out, searches, table["context"].take(pa.array(searches)).to_pylist() if len(searches) else [])
    return out


def belonging(events: Events, partition: int, partitions: int) -> NDArray[np.bool_]:
    """Return which events are of visitors of a partition, `[n] bool`.

    The others are of nobody, such as a message that can't be read, or were put there by someone who divides otherwise.
    """
    own: NDArray[np.bool_] = (events["user"] != 0) & (events["user"] % np.uint64(partitions) == np.uint64(partition))
    return own


def ids_of(piece: pa.Table | Sequence[Record]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the keys of the ids of events, `[n] uint64`, and when they were ingested, ms UTC, `[n] int64`."""
    if isinstance(piece, pa.Table):
        ids: NDArray[np.uint64] = mapped(piece["event_id"], key, np.uint64)
        return ids, piece["ingested_at"].to_numpy()
    return keys(r.event_id for r in piece), np.fromiter((r.ingested_at for r in piece), np.int64, len(piece))


def table_from_records(records: Sequence[Record], topic: Topic, first_offset: int, tenant: str, partition: int = 0) -> pa.Table:
    """Return consecutive records as a table of the lake, with offsets from `first_offset` on."""
    columns = {name: pa.array([getattr(r, name) for r in records], _plain(SCHEMA.field(name).type)) for name in RECORD_COLUMNS}
    return complete(pa.table(columns), topic, first_offset, tenant, partition)


def records_from_table(table: pa.Table) -> list[Record]:
    """Return rows of the lake, with at least `RECORD_COLUMNS`, as the records they were."""
    columns = [table[name].to_pylist() for name in RECORD_COLUMNS]
    return [Record(*values) for values in zip(*columns, strict=True)]


def complete(table: pa.Table, topic: Topic, first_offset: int, tenant: str, partition: int = 0) -> pa.Table:
    """Return rows with all columns of the lake: offsets from `first_offset` on, keys, and blanks.

    Ids may be integers and times Arrow timestamps; null strings become "". `ingested_at` is `timestamp` where
    it is missing, `dwell_ms` comes from `dwell_time` where that alone is given.

    Raises:
        NearlineError: a column that the lake doesn't have, or no timestamp.
    """
    n = table.num_rows
    table = table.rename_columns([ALIASES.get(name, name) for name in table.column_names])
    given = {name: table[name] for name in table.column_names if name not in DERIVED}
    if unknown := sorted(set(given) - set(SCHEMA.names)):
        remedy = f"put other columns into context as JSON; the lake has {', '.join(SCHEMA.names)}"
        raise NearlineError("columns", unknown, remedy)
    if "timestamp" not in given:
        raise NearlineError("columns", table.column_names, "add timestamp, ms UTC")
    given.setdefault("ingested_at", given["timestamp"])
    if "dwell_ms" not in given and "dwell_time" in given:
        given["dwell_ms"] = pc.round(pc.multiply(given["dwell_time"].cast(pa.float64()), 1000.0))
    if "dwell_ms" in given:
        given["dwell_ms"] = _as(given["dwell_ms"], pa.int64())
        given["dwell_time"] = pc.divide(given["dwell_ms"].cast(pa.float64(), safe=False), 1000.0)
    blank = {"context": "{}", "tenant": tenant, "topic": topic}
    columns: dict[str, Any] = {}
    for field in SCHEMA:
        text = pa.types.is_string(_plain(field.type))
        if field.name in given:
            column = _as(given[field.name], _plain(field.type))
            columns[field.name] = column.fill_null(blank.get(field.name, "")) if text else column
        elif field.name not in DERIVED or text:
            value = blank.get(field.name, "") if text else None
            columns[field.name] = pa.chunked_array([pa.repeat(pa.scalar(value, _plain(field.type)), n)])
    columns |= {
        "partition": pa.repeat(pa.scalar(partition, pa.int32()), n),
        "offset": pa.array(np.arange(first_offset, first_offset + n)),
        **key_columns(columns),
    }
    for name in SCHEMA.names:
        if pa.types.is_dictionary(SCHEMA.field(name).type):
            columns[name] = columns[name].dictionary_encode()
    return pa.table({name: columns[name] for name in SCHEMA.names}, schema=SCHEMA)


def key_columns(table: Mapping[str, pa.ChunkedArray]) -> dict[str, NDArray[Any]]:
    """Return the keys that the lake keeps beside the ids, one hash per distinct id, `[n]` uint64 or uint32.

    `user_key` is the visitor's: the user's or, when anonymous, the session's.
    """
    session = mapped(table["session_id"], lambda name: visitor_key("", name), np.uint64)
    user = mapped(table["user_id"], key, np.uint64)
    return {
        "user_key": np.where(user == 0, session, user),
        "item_key": mapped(table["item_id"], key, np.uint64),
        "session_key": session,
        "category_key": mapped(table["category"], key32, np.uint32),
        "brand_key": mapped(table["brand"], key32, np.uint32),
    }


def _each(names: Sequence[str], function: Callable[[str], int]) -> NDArray[np.uint64]:
    """Return `function` of each string, called once per distinct one, `[n] uint64`."""
    answers = {name: function(name) for name in set(names)}
    return np.fromiter(map(answers.__getitem__, names), np.uint64, len(names))


def mapped(column: pa.ChunkedArray, function: Callable[[str], int], dtype: Any) -> NDArray[Any]:
    """Return `function` of each string (no nulls), called once per distinct one, `[n] dtype`."""
    out = np.empty(len(column), dtype)
    seen: dict[str, int] = {}
    at = 0
    for chunk in column.chunks:
        encoded = chunk if pa.types.is_dictionary(chunk.type) else chunk.dictionary_encode()
        names = encoded.dictionary.to_pylist()
        for name in names:
            if name not in seen:
                seen[name] = function(name)
        lookup = np.array([seen[name] for name in names], dtype)
        if len(chunk):
            out[at : at + len(chunk)] = lookup[encoded.indices.to_numpy(zero_copy_only=False)]
        at += len(chunk)
    return out


def _numbers(
    out: Events,
    kinds: Kinds,
    *,
    kind: NDArray[np.int64],
    device: NDArray[np.int64],
    shown: NDArray[Any],
    surface: NDArray[np.int64],
    price: NDArray[np.float64],
    value: NDArray[np.float64],
    rating: NDArray[np.float64],
    dwell: NDArray[np.float64],
) -> None:
    """Fill the columns that are rounded or looked up; both ways pass here, so they can't differ."""
    carried, kind = kind >= OWN, kind & (OWN - 1)
    out["kind"], out["device"], out["shown"], out["surface"] = kind, device, shown, surface
    out["role"], out["weight"] = kinds.role[kind], kinds.weight[kind]
    out["own"] = carried | (out["role"] == Role.DECLARED)
    _fix(out, price, value, rating, dwell)


def _surface(request_id: str, page: str) -> int:
    """Return the code of the surface that a list's id ends with, else that of the page, 0 for none."""
    return SURFACE_CODES.get(request_id.rpartition("-")[2]) or SURFACE_CODES.get(page, 0)


def _surfaces(request_ids: pa.ChunkedArray, pages: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return `_surface` of each row, `[n] int64`."""
    out = mapped(pages, lambda page: SURFACE_CODES.get(page, 0), np.int64)
    for name, code in SURFACE_CODES.items():
        ending = pc.or_(pc.ends_with(request_ids, f"-{name}"), pc.equal(request_ids, name))
        out[ending.to_numpy()] = code
    return out


class _Searched(msgspec.Struct):
    """The part of a search's context that is read."""

    query: str = ""


_searched = msgspec.json.Decoder(_Searched).decode


def _search(out: Events, places: NDArray[np.int64], contexts: Sequence[str]) -> None:
    """Fill in what searches were for."""
    for place, context in zip(places.tolist(), contexts, strict=True):
        try:
            out["words"][place] = query_words(_searched(context).query)
        except msgspec.MsgspecError:
            continue  # no text: nothing was searched for


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return a number column with NaN for null, `[n] float64`."""
    values: NDArray[np.float64] = column.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy()
    return values.copy()  # Arrow's own can't be written, and so are no argument for a kernel


def _plain(kind: Any) -> Any:
    """Return the type of the values of a dictionary type, or the type itself."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _as(column: pa.ChunkedArray, kind: Any) -> pa.ChunkedArray:
    """Return a column as another type; Arrow timestamps become ms."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("ms", column.type.tz), safe=False).cast(pa.int64())
    return column if column.type == kind else column.cast(kind)
