"""All events of a tenant in one order, whatever partitions and duplicates the log has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nearline.schema.clock import DAY
from nearline.schema.event import Events, concat
from nearline.schema.ids import partition_of
from nearline.schema.kinds import Kinds
from nearline.stores.dedupe import Duplicates
from nearline.stores.encode import IDENTIFIED_COLUMNS, events_from_records, events_from_table, ids_of
from nearline.stores.history import history, pieces
from nearline.stores.lake import Lake
from nearline.stores.log import Log


@dataclass(frozen=True, slots=True)
class Timeline:
    """Events in one order.

    Attributes:
        events: `[n] EVENT`; of a divided log the offset is the place in this order, else that in the log.
        offsets: by partition, the offsets in the log, `[n_p] int64`; empty for a log that is not divided.
        places: by partition, the places in `events` of these, `[n_p] int64`.
    """

    events: Events
    offsets: tuple[NDArray[np.int64], ...] = ()
    places: tuple[NDArray[np.int64], ...] = ()

    def at(self, visitor: int, offset: int) -> int:
        """Return the place before which everything stands that a list had seen at an offset of its visitor's partition."""
        if not self.offsets:
            return offset
        number = partition_of(visitor, len(self.offsets))
        seen = int(np.searchsorted(self.offsets[number], offset))
        return int(self.places[number][seen - 1]) + 1 if seen else 0


def timeline(log: Log, lake: Lake, kinds: Kinds, horizon: int = DAY) -> Timeline:
    """Return all events of lake and log; what a shared log holds twice is in it once.

    Partitions are merged by the time of their events, each keeping its own order: so whoever reads them gets the same.

    Args:
        horizon: ms within which an id counts once.
    """
    if not log.shared:
        return Timeline(concat(list(history(log, lake, "user_events", kinds=kinds))))
    parts = [concat(list(_once(log.partition(n), lake.partition(n), kinds, horizon))) for n in range(log.partitions)]
    if len(parts) == 1:
        return Timeline(parts[0])
    merged = concat(parts)
    times = np.concatenate([np.maximum.accumulate(part["ts"]) for part in parts])
    order = np.argsort(times, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    cuts = np.cumsum([len(part) for part in parts])[:-1]
    offsets = tuple(part["offset"].copy() for part in parts)
    merged = merged[order]
    merged["offset"] = np.arange(len(merged))
    return Timeline(merged, offsets, tuple(np.split(place, cuts)))


def _once(log: Log, lake: Lake, kinds: Kinds, horizon: int) -> Iterator[Events]:
    duplicates = Duplicates(horizon)
    for piece in pieces(log, lake, "user_events", 0, IDENTIFIED_COLUMNS):
        if isinstance(piece, tuple):
            events, ids = events_from_records(piece[1], piece[0], kinds), ids_of(piece[1])
        else:
            assert isinstance(piece, pa.Table)
            events, ids = events_from_table(piece, kinds), ids_of(piece)
        yield events[duplicates.taken(*ids)]
