"""Records and lake tables to numbers, `[n] EVENT`; both ways give the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nearline.schema.event import DEVICES, Events, Record, empty_events
from nearline.schema.ids import key, key32, visitor_key
from nearline.schema.kinds import Kinds

EVENT_COLUMNS = (
    "offset", "timestamp", "user_key", "item_key", "session_key", "price", "value", "category_key",
    "brand_key", "dwell_ms", "rating", "event_type", "device",
)  # fmt: skip
"""The lake columns that `events_from_table` reads."""

_DEVICE = {name: code for code, name in enumerate(DEVICES)}


def events_from_records(records: Sequence[Record], first_offset: int, kinds: Kinds) -> Events:
    """Return consecutive records as numbers, `[n] EVENT`; types and devices that nobody declared become 0."""
    out = empty_events(len(records))
    if not records:
        return out
    known: dict[str, int] = {"": 0}
    out["offset"] = np.arange(first_offset, first_offset + len(records))
    out["ts"] = [r.timestamp for r in records]
    out["session"] = [visitor_key("", r.session_id) for r in records]
    out["user"] = [visitor_key(r.user_id, r.session_id) for r in records]
    out["item"] = [key(r.item_id) for r in records]
    for name, values in (("category", [r.category for r in records]), ("brand", [r.brand for r in records])):
        for value in set(values):
            known[value] = key32(value)
        out[name] = [known[value] for value in values]
    place, device = kinds.names.get, _DEVICE.get
    _numbers(
        out,
        kinds,
        kind=np.array([place(r.event_type, 0) for r in records]),
        device=np.array([device(r.device, 0) for r in records]),
        price=np.array([r.price for r in records], np.float64),
        value=np.array([r.value for r in records], np.float64),
        rating=np.array([r.rating for r in records], np.float64),
        dwell=np.array([r.dwell_ms for r in records], np.float64),
    )
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
        kind=mapped(table["event_type"], kinds.place, np.int64),
        device=mapped(table["device"], lambda name: _DEVICE.get(name, 0), np.int64),
        price=_floats(table["price"]),
        value=_floats(table["value"]),
        rating=_floats(table["rating"]),
        dwell=_floats(table["dwell_ms"]),
    )
    return out


def key_columns(table: pa.Table) -> dict[str, NDArray[Any]]:
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
    price: NDArray[np.float64],
    value: NDArray[np.float64],
    rating: NDArray[np.float64],
    dwell: NDArray[np.float64],
) -> None:
    """Fill the columns that are rounded or looked up; both ways pass here, so they can't differ."""
    out["kind"], out["device"] = kind, device
    out["role"], out["weight"] = kinds.role[kind], kinds.weight[kind]
    out["price"] = _fixed(price, 1000, 1 << 62)
    out["value"] = _fixed(value, 1000, 1 << 62)
    out["rating"] = _fixed(rating, 100, 32767)
    out["dwell"] = _fixed(dwell, 1, (1 << 31) - 1)


def _fixed(values: NDArray[np.float64], unit: int, limit: int) -> NDArray[np.int64]:
    """Return values in whole parts of `1 / unit`, missing 0, held to +-limit."""
    with np.errstate(over="ignore"):
        scaled = np.nan_to_num(np.rint(values * unit), nan=0.0, posinf=limit, neginf=-limit)
    whole: NDArray[np.int64] = np.clip(scaled, -limit, limit).astype(np.int64)
    return whole


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return a number column with NaN for null, `[n] float64`."""
    values: NDArray[np.float64] = column.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy()
    return values
