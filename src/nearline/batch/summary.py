"""What an import holds, so that a person can check it before anything is trained on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nearline.batch.dataset import Dataset, ImportReport
from nearline.schema.clock import DAY, HOUR

BARS = 24
"""Bars of the histogram, at most."""
GAPS = 3
_GAP_SHARE = 0.01
"""A gap is worth telling from this share of the whole time, and from an hour."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without events, ms UTC."""

    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Summary:
    """A dataset in numbers.

    Attributes:
        name: of the dataset.
        types: event type to number of events, the commonest first.
        days: (first ms UTC, events) of consecutive spans of whole days, at most `BARS`.
        span: days that each of them covers.
        users, visitors: distinct user ids, and anonymous sessions.
        items, seen, bare: in the catalogue; with events; known by events alone.
        first, last: times of the first and last event, ms UTC.
        gaps: the longest times without events, the longest first; none where times were made.
        duplicates: events that equal another in user, session, item, type and time.
        lists: shown lists.
        order_only: whether times were made.
        report: rows kept and dropped.
    """

    name: str
    types: Mapping[str, int]
    days: Sequence[tuple[int, int]]
    span: int
    users: int
    visitors: int
    items: int
    seen: int
    bare: int
    first: int
    last: int
    gaps: Sequence[Gap]
    duplicates: int
    lists: int
    order_only: bool
    report: ImportReport


def summarise(dataset: Dataset) -> Summary:
    """Return a dataset in numbers."""
    rows, times = dataset.rows, dataset.rows["timestamp"].to_numpy()
    counts = {row["values"]: row["counts"] for row in pc.value_counts(rows["event_type"]).to_pylist()}
    user = _codes(rows["user_id"])
    session = _codes(rows["session_id"]) if "session_id" in rows.column_names else np.zeros_like(user)
    item, kind = _codes(rows["item_id"]), _codes(rows["event_type"])
    anonymous = pc.equal(rows["user_id"], "").to_numpy()
    spans, span = _spans(times)
    return Summary(
        dataset.name,
        dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))),
        spans,
        span,
        len(np.unique(user[~anonymous])),
        len(np.unique(session[anonymous])) if "session_id" in rows.column_names else 0,
        len(dataset.items),
        len(np.unique(item)),
        len(dataset.items) - dataset.report.described,
        int(times[0]),
        int(times[-1]),
        () if dataset.order_only else _gaps(times),
        rows.num_rows - _distinct((user, session, item, kind, times)),
        dataset.lists.num_rows if dataset.lists is not None else 0,
        dataset.order_only,
        dataset.report,
    )


def text_of(summary: Summary) -> str:
    """Return a summary as plain text, a line each."""
    lines = [f"{summary.name}: {summary.report.kept:,} events of {summary.report.rows:,} rows"]
    for reason, count in summary.report.dropped.items():
        lines.append(f"  left out, {reason}: {count:,}")
        for example in summary.report.examples.get(reason, ()):
            said = f"{example.field} = {example.value!r}" if example.field else repr(example.value)
            lines.append(f"    {example.file} row {example.row}: {said}")
    lines.append("events   " + ", ".join(f"{name} {count:,}" for name, count in summary.types.items()))
    lines.append(f"users    {summary.users:,}" + (f", and {summary.visitors:,} anonymous sessions" if summary.visitors else ""))
    known = f"items    {summary.items:,}; {summary.seen:,} have events"
    lines.append(known + (f"; {summary.bare:,} unknown but for their events" if summary.bare else ""))
    if summary.lists:
        lines.append(f"lists    {summary.lists:,} shown lists, to learn from what was passed over")
    if summary.order_only:
        lines.append("time     made from the order; features of time are off")
    else:
        lines.append(f"time     {_moment(summary.first)} to {_moment(summary.last)} UTC")
    gaps = [f"{_moment(gap.begin)} to {_moment(gap.end)} ({_length(gap.end - gap.begin)})" for gap in summary.gaps]
    lines.append("gaps     " + ("; ".join(gaps) or "none to speak of"))
    lines.append(f"doubles  {summary.duplicates:,} events equal another in user, item, type and time; they are kept")
    if not summary.order_only:
        most = max(count for _, count in summary.days)
        every = "day" if summary.span == 1 else f"{summary.span} days"
        lines.append(f"events by {every}")
        for begin, count in summary.days:
            lines.append(f"  {_moment(begin)[:10]} {count:>10,} {'█' * round(40 * count / most)}")
    return "\n".join(lines)


def _spans(times: NDArray[np.int64]) -> tuple[list[tuple[int, int]], int]:
    """Return (begin, count) of spans of days, and how many days each covers; days are UTC's."""
    first = int(times[0] // DAY)
    span = -(-(int(times[-1] // DAY) - first + 1) // BARS)
    counts = np.bincount((times // DAY - first) // span)
    return [((first + place * span) * DAY, int(count)) for place, count in enumerate(counts)], span


def _gaps(times: NDArray[np.int64]) -> tuple[Gap, ...]:
    gaps = np.diff(times)
    least = max(HOUR, int((times[-1] - times[0]) * _GAP_SHARE))
    longest = np.argsort(-gaps, kind="stable")[:GAPS]
    return tuple(Gap(int(times[place]), int(times[place + 1])) for place in longest if gaps[place] >= least)


def _distinct(columns: Sequence[NDArray[np.int64]]) -> int:
    """Return how many distinct rows there are, by a 64-bit hash of each: one sort, however many columns."""
    mixed = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        mixed ^= column.view(np.uint64)
        mixed *= np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    mixed.sort()
    return 1 + int(np.count_nonzero(mixed[1:] != mixed[:-1]))


def _codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return a code for each string, `[n] int64`."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    coded = whole if pa.types.is_dictionary(whole.type) else whole.dictionary_encode()
    codes: NDArray[np.int64] = pc.fill_null(coded.indices, -1).to_numpy().astype(np.int64)
    return codes


def _moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def _length(ms: int) -> str:
    return f"{ms / DAY:.1f} days" if ms >= 2 * DAY else f"{ms / HOUR:.1f} hours"
