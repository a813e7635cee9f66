"""Protocols of measurement as data: what a system may know, what is revealed to it, what it is asked when.

A (`leave_one_out`), B (`one_point`) and C (`next_event`) all give a `Split`, which one loop can walk: fit and
fold `known`; for each case, in order, stream in `reveal` up to row `case.revealed`, then ask for the list at
`case.now_ms`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nearline.batch.dataset import Dataset
from nearline.schema.errors import NearlineError

Holdout = Literal["test", "validation"]
"""The last part of the events, or the part before it (for tuning; the test part is then out of sight)."""


@dataclass(frozen=True, slots=True)
class Case:
    """One question: the list for a user at a moment, and the items that would be right.

    Attributes:
        user_id: who asks.
        targets: item ids, at least one.
        now_ms: the moment, ms UTC.
        revealed: how many rows of `Split.reveal` the system has seen by then.
    """

    user_id: str
    targets: frozenset[str]
    now_ms: int
    revealed: int = 0


@dataclass(frozen=True, slots=True)
class Split:
    """A dataset parted for measurement.

    Attributes:
        name: protocol and part, such as "A/test".
        known: events before the split, in log order: models are fitted on these and on nothing else.
        reveal: events that are streamed in after fitting, in log order.
        cases: in the order of asking; `revealed` never falls.
    """

    name: str
    known: pa.Table
    reveal: pa.Table
    cases: tuple[Case, ...]

    @property
    def fit(self) -> pa.Table:
        """Return the events to fit on; the same as `known`."""
        return self.known

    @property
    def fit_end(self) -> int:
        """Return the time of the last event to fit on, ms UTC."""
        return int(self.known["timestamp"][-1].as_py())


def leave_one_out(dataset: Dataset, holdout: Holdout = "test") -> Split:
    """Protocol A: the last event of each user (validation: the one before).

    Fitted on all but each user's last two. Testing first reveals the one before the last, so that the history
    is all but the last; validation reveals nothing. Users with fewer than three events are fitted on, never
    asked about. By each user's own order: where times are real, later events of others are known.

    Raises:
        NearlineError: no user has three events.
    """
    events = dataset.events
    user = _codes(events["user_id"])
    enough = np.bincount(user)[user] >= 3
    later = _later(user)
    last, before = enough & (later == 0), enough & (later == 1)
    known = events.filter(pa.array(~(last | before)))
    if not known.num_rows or not last.any():
        raise NearlineError(dataset.name, events.num_rows, "give users with three events or more")
    reveal = events.filter(pa.array(before)) if holdout == "test" else events.slice(0, 0)
    asked = events.filter(pa.array(last if holdout == "test" else before))
    return Split(f"A/{holdout}", known, reveal, _cases(asked, [reveal.num_rows] * asked.num_rows))


def one_point(dataset: Dataset, holdout: Holdout = "test") -> Split:
    """Protocol B: one list per user at one point in time, after 90 % of the events (validation: 80 %).

    Targets are the items of the next 10 % that the system knows and the user's history lacks; only users with
    a history and at least one such item are asked about. `now_ms` is the time of the last known event.

    Raises:
        NearlineError: nobody can be asked about.
    """
    start, end = _window(dataset, holdout)
    user, item = _codes(dataset.events["user_id"]), _codes(dataset.events["item_id"])
    pair = user.astype(np.int64) * (int(item.max()) + 1) + item
    later = slice(start, end)
    fits = np.isin(user[later], user[:start]) & np.isin(item[later], item[:start]) & ~np.isin(pair[later], pair[:start])
    asked = dataset.events.slice(start, end - start).filter(pa.array(fits))
    targets: dict[str, set[str]] = {}
    for user_id, item_id in zip(asked["user_id"].to_pylist(), asked["item_id"].to_pylist(), strict=True):
        targets.setdefault(user_id, set()).add(item_id)
    if not targets:
        raise NearlineError(dataset.name, end - start, "give users who have events on both sides of the split")
    known = dataset.events.slice(0, start)
    now = int(known["timestamp"][-1].as_py())
    cases = tuple(Case(user_id, frozenset(items), now) for user_id, items in targets.items())
    return Split(f"B/{holdout}", known, dataset.events.slice(0, 0), cases)


def next_event(dataset: Dataset, holdout: Holdout = "test") -> Split:
    """Protocol C: each event of the last 10 % (validation: 80 % to 90 %) is asked for, then revealed.

    Every event is a case, of users never seen before too: for those the system has only its cold lists.
    Asking without revealing measures the state frozen at the split.

    Raises:
        NearlineError: fewer than ten events.
    """
    start, end = _window(dataset, holdout)
    reveal = dataset.events.slice(start, end - start)
    return Split(f"C/{holdout}", dataset.events.slice(0, start), reveal, _cases(reveal, range(end - start)))


def known_items(split: Split) -> tuple[str, ...]:
    """Return the ids of the items of `known`, in order of first appearance: those that protocol B ranks."""
    return tuple(split.known["item_id"].unique().to_pylist())


def _window(dataset: Dataset, holdout: Holdout) -> tuple[int, int]:
    """Return the first place of the part asked about, and the one after its last."""
    rows = dataset.events.num_rows
    if rows < 10:
        raise NearlineError(dataset.name, rows, "give ten events or more")
    return (rows * 9 // 10, rows) if holdout == "test" else (rows * 8 // 10, rows * 9 // 10)


def _cases(asked: pa.Table, revealed: range | list[int]) -> tuple[Case, ...]:
    columns = (asked[name].to_pylist() for name in ("user_id", "item_id", "timestamp"))
    return tuple(
        Case(user_id, frozenset((item_id,)), now, seen) for user_id, item_id, now, seen in zip(*columns, revealed, strict=True)
    )


def _codes(column: Any) -> NDArray[np.int32]:
    """Return dense codes of strings, `[n] int32`."""
    codes: NDArray[np.int32] = column.combine_chunks().dictionary_encode().indices.to_numpy()
    return codes


def _later(user: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return for each event how many later ones its user has, `[n] int64`."""
    order = np.argsort(user, kind="stable")
    ends = np.cumsum(np.bincount(user))
    later = np.empty(len(user), np.int64)
    later[order] = ends[user[order]] - 1 - np.arange(len(user))
    return later
