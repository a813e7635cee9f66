"""Imported history: items, and events in log order with the item's attributes already on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nearline.schema.errors import NearlineError
from nearline.schema.item import Item

EVENTS = pa.schema(
    [
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("event_type", pa.string()),
        ("timestamp", pa.int64()),
        ("rating", pa.float64()),
        ("value", pa.float64()),
        ("price", pa.float64()),
        ("session_id", pa.string()),
        ("device", pa.string()),
        ("event_id", pa.string()),
        ("category", pa.string()),
        ("brand", pa.string()),
    ]
)
"""Columns of `Dataset.events`. `timestamp` is ms UTC; numbers are null and texts "" where there is none."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of the rows of the files.

    Attributes:
        rows: rows that the files hold.
        kept: rows that became events.
        dropped: reason to number of rows; each row counts once, under the first reason that fits.
    """

    rows: int = 0
    kept: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Imported history.

    Attributes:
        name: of the folder or file.
        items: the catalogue; every item of `events` is in it, and each only once.
        events: schema `EVENTS`, in log order: sorted by timestamp, stable.
        order_only: timestamps were made from positions; time-based components must be off.
        positive: the commonest event type, the one to predict unless told otherwise.
        report: rows kept and dropped.
    """

    name: str
    items: tuple[Item, ...]
    events: pa.Table
    order_only: bool
    positive: str
    report: ImportReport = field(default_factory=ImportReport)


def stamp(table: pa.Table, items: Sequence[Item]) -> pa.Table:
    """Put each item's category, brand and price on its events.

    What an event already says about itself stays: its own price is the price at that time.

    Args:
        table: has `item_id`; `category`, `brand` and `price` are optional.
        items: an event of an item that is not among them gets "", "" and null.
    """
    ids = pa.array([item.item_id for item in items], pa.string())
    places = pc.index_in(table["item_id"], value_set=ids)
    for name, values in (
        ("category", pa.array([item.category for item in items], pa.string())),
        ("brand", pa.array([item.brand for item in items], pa.string())),
        ("price", pa.array([item.price for item in items], pa.float64())),
    ):
        column = pc.take(values, places)
        if name in table.column_names:
            own = table[name]
            if pa.types.is_string(own.type):
                own = pc.if_else(pc.equal(own, ""), pa.scalar(None, pa.string()), own)
            column = pc.coalesce(own, column)
        if pa.types.is_string(column.type):
            column = pc.fill_null(column, "")
        place = table.schema.get_field_index(name)
        table = table.append_column(name, column) if place < 0 else table.set_column(place, name, column)
    return table


def reject(table: pa.Table, bad: Mapping[str, NDArray[np.bool_]]) -> tuple[pa.Table, dict[str, int]]:
    """Drop bad rows.

    Args:
        table: `n` rows.
        bad: reason to mask, `[n] bool`; the first reason that fits a row is the one that is counted.

    Returns:
        The good rows, and how many were dropped for each reason.
    """
    gone = np.zeros(table.num_rows, np.bool_)
    dropped = {}
    for reason, mask in bad.items():
        if count := int(np.count_nonzero(mask & ~gone)):
            dropped[reason] = count
        gone |= mask
    return (table.filter(pa.array(~gone)) if gone.any() else table), dropped


def assemble(
    name: str,
    table: pa.Table,
    items: Sequence[Item],
    dropped: Mapping[str, int],
    *,
    order_only: bool = False,
) -> Dataset:
    """Make a dataset from clean rows: sorted, completed to `EVENTS`, stamped, every item registered.

    Args:
        name: of the dataset.
        table: some columns of `EVENTS`, at least the first four, without nulls in those four.
        items: what is known about items; the first of an id wins, and unknown items of events are added bare.
        dropped: rows that were not kept, by reason.
        order_only: whether timestamps were made.

    Raises:
        NearlineError: no row is left.
    """
    if not table.num_rows:
        raise NearlineError(name, dict(dropped), "no usable row: mend the file so that some rows pass")
    times = table["timestamp"].to_numpy()
    if (times[1:] < times[:-1]).any():
        table = table.take(pa.array(np.argsort(times, kind="stable")))
    catalogue = {item.item_id: item for item in reversed(items)}
    ids = dict.fromkeys([item.item_id for item in items] + pc.unique(table["item_id"]).to_pylist())
    everything = tuple(catalogue.get(item_id) or Item(item_id) for item_id in ids if item_id)
    types = {row["values"]: row["counts"] for row in pc.value_counts(table["event_type"]).to_pylist()}
    rows = table.num_rows
    return Dataset(
        name=name,
        items=everything,
        events=_complete(stamp(table, everything)).combine_chunks(),
        order_only=order_only,
        positive=max(sorted(types), key=lambda kind: types[kind]),
        report=ImportReport(rows + sum(dropped.values()), rows, dict(dropped)),
    )


def _complete(table: pa.Table) -> pa.Table:
    """Return the columns of `EVENTS` in their order, those that are missing filled."""
    columns = []
    for column in EVENTS:
        text = pa.types.is_string(column.type)
        if column.name not in table.column_names:
            nothing = pa.scalar("" if text else None, column.type)
            columns.append(pa.repeat(nothing, table.num_rows))
        else:
            values = table[column.name].cast(column.type)
            columns.append(pc.fill_null(values, "") if text else values)
    return pa.table(columns, schema=EVENTS)
