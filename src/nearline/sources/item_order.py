"""Histories by item: whoever sums pairs of events into a row an item keeps that row at hand; parts go side by side."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import I32
from nearline.sources.neighbours import Histories

THREADS = 2


class ItemOrder(NamedTuple):
    """Events in order of their item.

    Attributes:
        begins: where each item's events begin, and the end, `[n_items + 1] int64`.
        events: places in the histories, `[n] int32`.
        before, after: how many events of its visitor are before and after an event, by place, `[n] int32`.
    """

    begins: NDArray[np.int64]
    events: I32
    before: I32
    after: I32


def item_order(past: Histories) -> ItemOrder:
    """Return everyone's events by item."""
    lengths, place = np.diff(past.starts), np.arange(len(past.items))
    counts = np.bincount(past.items, minlength=len(past.keys))
    before = place - np.repeat(past.starts[:-1], lengths)
    after = np.repeat(past.starts[1:], lengths) - 1 - place
    return ItemOrder(
        np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        np.argsort(past.items, kind="stable").astype(np.int32),
        before.astype(np.int32),
        after.astype(np.int32),
    )


def by_parts(order: ItemOrder, act: Callable[[I32], object]) -> None:
    """Call `act`, which lets go of the GIL, with the events of some items each time, side by side; no item is in two parts."""
    ends = order.begins[1:]
    cuts = np.searchsorted(ends, len(order.events) * np.arange(1, THREADS) / THREADS)
    parts = np.split(order.events, ends[cuts.clip(max=len(ends) - 1)] if len(ends) else [])
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(act, parts))
