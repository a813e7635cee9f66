"""Splitting in time: sources are fitted before T0, the ranker is taught on (T0, T1], evaluation is after T1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nearline.app.sections import Train
from nearline.schema.clock import DAY, SECOND
from nearline.schema.event import Events


@dataclass(frozen=True, slots=True)
class TimeSplit:
    """ms UTC: the first event to learn from, T0, T1 and the end."""

    begin: int
    fitted: int
    taught: int
    end: int


def split_times(events: Events, train: Train, order_only: bool) -> TimeSplit:
    """Return the default split of a history.

    By default the last 7 of 30 days evaluate and the 7 before teach; a shorter history is split in the same shares. Fitting
    begins earlier where these days have too few events.
    A few strays, long before all others, don't make a history longer. Order-only times count back from each user's last
    event, one second each: his last one evaluates, the four before teach.
    """
    last = int(events["ts"].max()) if len(events) else 0
    first = int(events["ts"].min()) if len(events) else 0
    if order_only:
        return TimeSplit(first, last - 5 * SECOND, last - SECOND, last)
    begin = max(first, last - train.days * DAY)
    share = (last - max(begin, earliest(events["ts"]))) * train.evaluate_days / train.days
    if train.events:
        # Fitting little is quick, and what is older still teaches; the windows stay as they are.
        behind = max(0, len(events) - train.events)
        begin = min(begin, int(np.partition(events["ts"], behind)[behind])) if len(events) else begin
    return TimeSplit(begin, int(last - 2 * share), int(last - share), last)


def earliest(times: NDArray[np.int64]) -> int:
    """Return when a history begins, but for a thousandth of its events that may have strayed; ms UTC, as `times`."""
    strays = len(times) // 1000
    return int(np.partition(times, strays)[strays]) if len(times) else 0


def before(events: Events, time: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which events are at `time` (ms UTC) or earlier, `[n] bool`."""
    return np.asarray(events["ts"] <= time, np.bool_)
