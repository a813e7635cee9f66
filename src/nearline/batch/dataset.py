"""Imported history: items, and events in log order with the item's attributes already on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nearline.batch.dropped import Dropped, Example
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
        ("request_id", pa.string()),
        ("category", pa.string()),
        ("brand", pa.string()),
    ]
)
"""Columns of `Dataset.events`. `timestamp` is ms UTC; numbers are null and texts "" where there is none."""

LISTS = pa.schema(
    [
        ("user_id", pa.string()),
        ("session_id", pa.string()),
        ("request_id", pa.string()),
        ("timestamp", pa.int64()),
        ("device", pa.string()),
        ("surface", pa.string()),
        ("items", pa.list_(pa.string())),
        ("offset", pa.int64()),
    ]
)
"""Columns of `Dataset.lists`: what was shown to whom; `offset` is the number of events before it, by place in `events`."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of the rows of the files.

    Attributes:
        rows: rows that the files hold.
        kept: rows that became events.
        dropped: reason to number of rows; each row counts once, under the first reason that fits.
        examples: reason to the first of its rows.
        described: items that the files describe; the others are known by their events alone.
    """

    rows: int = 0
    kept: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, Sequence[Example]] = field(default_factory=dict)
    described: int = 0


@dataclass(frozen=True)
class Dataset:
    """Imported history.

    Attributes:
        name: of the folder or file.
        items: the catalogue; every item of `rows` is in it, and each only once.
        rows: events in log order, sorted by timestamp, stable; some columns of `EVENTS`, at least the first four, texts
            perhaps as dictionaries. Columns that `EVENTS` lacks are kept.
        order_only: timestamps were made from positions; time-based components must be off.
        positive: the commonest event type, the one to predict unless told otherwise.
        report: rows kept and dropped.
        lists: what was shown, schema `LISTS`, in order of time, where the data says it.
    """

    name: str
    items: tuple[Item, ...]
    rows: pa.Table
    order_only: bool
    positive: str
    report: ImportReport = field(default_factory=ImportReport)
    lists: pa.Table | None = None

    @cached_property
    def events(self) -> pa.Table:
        """All columns of `EVENTS`, each event with what is known of its item."""
        return stamp(_complete(self.rows), self.items).combine_chunks()

    def chunks(self, size: int, start: int = 0) -> Iterator[pa.Table]:
        """Yield the events from place `start` on, some at a time, as `events` has them and without holding them all."""
        for begin in range(start, self.rows.num_rows, size):
            yield stamp(_complete(self.rows.slice(begin, size)), self.items)


def for_asking(dataset: Dataset, seed: int = 7) -> Dataset:
    """Return a dataset as whoever measures lists wants it: its items in no order, and anonymous sessions alone as users.

    Equal scores keep the catalogue's order, and where files name items as they were touched, that order tells the future.
    """
    order = np.random.default_rng(seed).permutation(len(dataset.items)).tolist()
    dataset = replace(dataset, items=tuple(dataset.items[place] for place in order))
    rows = dataset.rows
    if "session_id" not in rows.column_names or pc.any(pc.not_equal(rows["user_id"], "")).as_py():
        return dataset
    place = rows.schema.get_field_index("user_id")
    return replace(dataset, rows=rows.set_column(place, "user_id", rows["session_id"]))


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


def assemble(
    name: str,
    table: pa.Table,
    items: Sequence[Item],
    dropped: Mapping[str, int],
    *,
    order_only: bool = False,
    lists: pa.Table | None = None,
) -> Dataset:
    """Make a dataset from clean rows: sorted, every item registered.

    Args:
        name: of the dataset.
        table: some columns of `EVENTS`, at least the first four, without nulls in those four.
        items: what is known about items; the first of an id wins, and unknown items of events are added bare.
        dropped: rows that were not kept, by reason.
        order_only: whether timestamps were made.
        lists: what was shown; the rows must be sorted by time already, since offsets count them.

    Raises:
        NearlineError: no row is left.
    """
    if not table.num_rows:
        raise NearlineError(name, dict(dropped), "no usable row: mend the file so that some rows pass")
    times = table["timestamp"].to_numpy()
    if (times[1:] < times[:-1]).any():
        table = table.take(pa.array(np.argsort(times, kind="stable")))
    catalogue = {item.item_id: item for item in reversed(items)}
    seen = pc.unique(table["item_id"]).to_pylist()
    seen += pc.unique(pc.list_flatten(lists["items"])).to_pylist() if lists is not None else []
    ids = dict.fromkeys([item.item_id for item in items] + seen)
    everything = tuple(catalogue.get(item_id) or Item(item_id) for item_id in ids if item_id)
    types = {row["values"]: row["counts"] for row in pc.value_counts(table["event_type"]).to_pylist()}
    rows = table.num_rows
    return Dataset(
        name=name,
        items=everything,
        rows=table,
        order_only=order_only,
        positive=max(sorted(types), key=lambda kind: types[kind]),
        report=ImportReport(
            rows + sum(dropped.values()),
            rows,
            dict(dropped),
            dropped.examples if isinstance(dropped, Dropped) else {},
            len(catalogue),
        ),
        lists=lists,
    )


def _complete(table: pa.Table) -> pa.Table:
    """Return the columns of `EVENTS` in their order, those that are missing filled, and then the table's others."""
    columns = {}
    for column in EVENTS:
        text = pa.types.is_string(column.type)
        if column.name not in table.column_names:
            nothing = pa.scalar("" if text else None, column.type)
            columns[column.name] = pa.repeat(nothing, table.num_rows)
        else:
            values = table[column.name].cast(column.type)
            columns[column.name] = pc.fill_null(values, "") if text else values
    return pa.table(columns | {name: table[name] for name in table.column_names if name not in columns})
