"""Columns of text into columns of values, null where they make no sense."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

NO_TEXT = ("", "null", "NULL", "None", "NaN", "nan", "NA", "N/A")
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_ZONE = r"[T ]\S*(Z|[+-]\d\d:?\d\d|[+-]\d\d)$"
_MS_FROM, _MS_TO = 1e11, 1e14
"""Numbers below the first are seconds (until the year 5138), below the second milliseconds."""


def first_line(path: Path) -> str:
    """Return the first line without its end and byte order mark, "" where there is none."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            return file.readline(1 << 16).rstrip("\r\n")
    except OSError:
        return ""


def missing(column: Any) -> NDArray[np.bool_]:
    """Return where a column is null, `[n] bool`."""
    return np.asarray(pc.is_null(column).to_numpy(zero_copy_only=False), np.bool_)


def text(column: Any) -> Any:
    """Return a column as trimmed strings, null for nothing; floats that are whole lose their ".0"."""
    column = _flat(column)
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type))
        if pc.all(pc.equal(column, pc.round(column)), min_count=0).as_py():
            column = column.cast(pa.int64())
    column = pc.utf8_trim_whitespace(column.cast(pa.string()))
    return pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)


def numbers(column: Any) -> tuple[Any, NDArray[np.bool_]]:
    """Return a column as float64, and where something was said that is no finite number, `[n] bool`."""
    column = _flat(column)
    if pa.types.is_string(column.type):
        said = text(column)
        try:
            values = said.cast(pa.float64())
        except pa.ArrowInvalid:
            fits = pc.match_substring_regex(said, _NUMBER)
            values = pc.if_else(fits, said, pa.scalar(None, pa.string())).cast(pa.float64())
    else:
        said, values = column, column.cast(pa.float64())
    values = pc.if_else(pc.is_finite(values), values, pa.scalar(None, pa.float64()))
    return values, missing(values) & ~missing(said)


def milliseconds(column: Any) -> Any:
    """Return times as ms UTC, int64; null where none can be read.

    Accepts seconds and milliseconds (told apart by size, value by value), ISO 8601 with or without a zone
    (none means UTC), and Arrow's dates and timestamps.
    """
    column = _flat(column)
    if pa.types.is_temporal(column.type):
        return column.cast(pa.timestamp("ms", getattr(column.type, "tz", None)), safe=False).cast(pa.int64())
    values, bad = numbers(column)
    seconds = np.asarray(values.to_numpy(zero_copy_only=False), np.float64)
    told = ~np.isnan(seconds) & (seconds >= 0) & (seconds < _MS_TO)
    seconds = np.where(told, seconds, 0.0)
    out = np.rint(np.where(seconds < _MS_FROM, seconds * 1000, seconds)).astype(np.int64)
    if pa.types.is_string(column.type) and bad.any():
        times = _iso(text(column).filter(pa.array(bad)))
        told[bad] = ~missing(times)
        out[bad] = pc.fill_null(times, 0).to_numpy()
    return pa.array(out, mask=~told)


def _iso(column: Any) -> Any:
    """Return ISO 8601 texts as ms UTC, null where they are none."""
    zoned = pc.match_substring_regex(column, _ZONE)
    nothing = pa.scalar(None, pa.string())
    try:
        far = pc.if_else(zoned, column, nothing).cast(pa.timestamp("us", "UTC")).cast(pa.int64())
        here = pc.if_else(zoned, nothing, column).cast(pa.timestamp("us")).cast(pa.int64())
        return pc.floor(pc.divide(pc.coalesce(far, here).cast(pa.float64()), 1000.0)).cast(pa.int64())
    except pa.ArrowInvalid:
        coded = column.dictionary_encode()
        return pc.take(pa.array([_one(t) for t in coded.dictionary.to_pylist()], pa.int64()), coded.indices)


def _one(said: str) -> int | None:
    try:
        time = datetime.fromisoformat(said)
    except ValueError:
        return None
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    return int(time.timestamp() * 1000 // 1)


def _flat(column: Any) -> Any:
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.cast(pa.string()) if pa.types.is_large_string(column.type) else column
