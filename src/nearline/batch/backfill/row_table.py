"""Rows of visitors as a table: the packed rows as they lie in memory and in stores and, where asked for, each fold's fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nearline.schema.components import Tier
from nearline.stores.packing import TIERS

Packed = Mapping[Tier, np.dtype[np.void]]
Bytes = NDArray[np.uint8]
READ = 16_384
"""Rows read at a time."""


def table_of(
    visitors: NDArray[np.uint64], hot: Bytes, history: Bytes, packed: Packed, gone: Mapping[Tier, NDArray[np.bool_]] | None
) -> pa.Table:
    """Return rows as a table: visitor, offset and last of the head, the packed rows and, perhaps, a struct for each fold.

    Args:
        visitors: keys, `[n] uint64`.
        hot, history: packed rows, `[n, bytes] uint8`.
        packed: their form.
        gone: by tier, whose rows had expired, `[n] bool`: null in the folds' columns; `None` for no such columns.
    """
    rows = {tier: _rows(data, packed[tier]) for tier, data in zip(TIERS, (hot, history), strict=True)}
    head = rows["hot"]["presence"]
    columns: dict[str, Any] = {
        "visitor": pa.array(visitors),
        "offset": pa.array(np.ascontiguousarray(head["offset"])),
        "last": pa.array(np.ascontiguousarray(head["last"])).cast(pa.timestamp("ms", "UTC")),
        "packed_hot": _binary(hot),
        "packed_history": _binary(history),
    }
    if gone is not None:
        for tier in TIERS:
            for name in packed[tier].names or ():
                if name != "presence":
                    columns[name] = _struct(rows[tier][name], gone[tier])
    return pa.table(columns)


def read_rows(path: Path) -> Iterator[tuple[NDArray[np.uint64], list[bytes], list[bytes]]]:
    """Yield a file's rows some at a time: visitors, packed hot rows, packed history rows."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(READ, columns=["visitor", "packed_hot", "packed_history"]):
            keys = batch["visitor"].to_numpy().copy()  # kernels take none that cannot be written
            yield keys, batch["packed_hot"].to_pylist(), batch["packed_history"].to_pylist()


def _rows(data: Bytes, dtype: np.dtype[np.void]) -> NDArray[np.void]:
    if not dtype.itemsize:
        return np.zeros(len(data), dtype)
    rows: NDArray[np.void] = np.ascontiguousarray(data).view(dtype).reshape(len(data))
    return rows


def _binary(data: Bytes) -> pa.Array:
    kind = pa.binary(data.shape[1])
    return pa.FixedSizeBinaryArray.from_buffers(kind, len(data), [None, pa.py_buffer(np.ascontiguousarray(data))])


def _struct(rows: NDArray[np.void], gone: NDArray[np.bool_]) -> pa.Array:
    names = [name for name in rows.dtype.names or () if name != "pad"]
    return pa.StructArray.from_arrays([_array(rows[name]) for name in names], names, mask=pa.array(gone))


def _array(values: NDArray[Any]) -> pa.Array:
    """Return numbers, or lists of them, or lists of lists."""
    if values.ndim == 1:
        return pa.array(np.ascontiguousarray(values))
    n, width = values.shape[:2]
    inner = _array(np.ascontiguousarray(values).reshape(n * width, *values.shape[2:]))
    return pa.ListArray.from_arrays(pa.array(np.arange(0, (n + 1) * width, width, dtype=np.int32)), inner)
