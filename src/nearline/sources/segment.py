"""Segment: what visitors of the same age group, gender, location, device and part of the day choose."""

from __future__ import annotations

from collections import OrderedDict
from typing import ClassVar, cast

import numpy as np

from nearline.schema.candidates import NOTHING, Retrieved
from nearline.schema.clock import SECOND
from nearline.schema.components import Arrays, FitData, Fold, Stateful, UserState, World
from nearline.schema.event import DEVICES
from nearline.schema.ids import key32
from nearline.schema.query import Query
from nearline.schema.top import best
from nearline.sources.segment_tables import SegmentTables
from nearline.sources.tally import first

_DEVICE = {name: place for place, name in enumerate(DEVICES)}


class SegmentSource:
    """The items that the visitor's segments choose, each segment backed by the wider one it is part of.

    A share is (own weight + 100 clicks * the wider segment's share) / (total + 100 clicks), from everyone through device and
    part of the day, location, age group and gender, to all that was declared.

    Args:
        quota: candidates at most.
        refresh: ms for which one ordering serves all visitors of the same segments.
        depth: how many items it keeps.
    """

    name = "segment"
    family = "segment"
    counted = True
    surfaces = ("homepage", "search")
    reason: ClassVar[str] = "segment"
    template: ClassVar[str] = "Popular with visitors like you"
    time_based = True

    def __init__(self, quota: int = 50, refresh: int = 30 * SECOND, depth: int = 200) -> None:
        self.quota, self.refresh, self.depth = quota, refresh, depth
        self.state: tuple[Stateful, ...] = (SegmentTables(),)
        self.folds: tuple[Fold, ...] = ()

    def fit(self, data: FitData) -> Arrays:
        """Nothing is learned in batch."""
        return {}

    def bind(self, world: World, arrays: Arrays) -> None:
        """Read this world's tables."""
        self._world = world
        self._tables = cast(SegmentTables, world.parts["segments"])
        self._orders: OrderedDict[bytes, tuple[int, Retrieved]] = OrderedDict()

    def fetch(self, query: Query, user: UserState, limit: int) -> Retrieved:
        """Return what the narrowest segments choose; nothing where no segment but everyone is known."""
        location = key32(query.location) if query.location else 0
        rows, known = self._tables.chain(user.slot, location, _DEVICE.get(query.device, 0), query.now)
        if not known:
            return NOTHING
        found = self._ordered(rows.tobytes(), rows, query.now)
        return first(found, min(limit, len(found.items)))

    def _ordered(self, key: bytes, rows: np.ndarray[tuple[int], np.dtype[np.int32]], now: int) -> Retrieved:
        at, found = self._orders.get(key, (-(1 << 62), NOTHING))
        if abs(now - at) < self.refresh:
            return found
        available = np.flatnonzero(self._world.columns.available).astype(np.int32)
        shares = self._tables.shares(rows, available, now)
        places = best(shares, self.depth)
        found = Retrieved(available[places], shares[places], np.full(len(places), -1, np.int32))
        self._orders[key] = now, found
        self._orders.move_to_end(key)
        if len(self._orders) > 256:
            self._orders.popitem(last=False)
        return found
