"""Context: when, on what device and page a list is asked for; and the age of each item."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.features.totals import ITEM_TOTALS, ItemTotalsFold
from nearline.schema.candidates import F32, I32
from nearline.schema.clock import DAY, HOUR
from nearline.schema.components import Fold, ItemColumns, ItemFeature, ReadContext, Rows
from nearline.schema.event import DEVICES
from nearline.schema.kernel import f4, i4, i8, kernel, record
from nearline.schema.query import SURFACES

DEVICE = {name: place for place, name in enumerate(DEVICES)}
SURFACE = {name: place for place, name in enumerate(SURFACES)}


@kernel(i8, i8, i8, f4[:, ::1])
def _context(now: int, device: int, surface: int, out: F32) -> None:
    out[0, :] = now // HOUR % 24
    # 1 January 1970 was a Thursday; Monday is 0.
    out[1, :] = (now // DAY + 3) % 7
    out[2, :] = device
    out[3, :] = surface


class ContextFeature:
    """Hour and weekday in UTC, device and surface; the same for every candidate."""

    name = "context"
    columns = ("hour", "weekday", "device", "surface")
    folds: tuple[Fold, ...] = ()
    time_based = True

    def read(self, context: ReadContext, out: F32) -> None:
        """Fill `[4, n] float32`."""
        query = context.query
        _context(query.now, DEVICE.get(query.device, 0), SURFACE.get(query.surface, len(SURFACES)), out)


@kernel(f4[::1], i4[::1], f4[:, ::1])
def _price(price: F32, items: I32, out: F32) -> None:
    for i in range(len(items)):
        out[0, i] = price[items[i]]


class PriceFeature(ItemFeature):
    """A candidate's price, NaN for none."""

    name = "price"
    columns = ("price",)
    folds: tuple[Fold, ...] = ()
    time_based = False

    def read_items(self, rows: Mapping[str, Rows], columns: ItemColumns, slots: I32, now: int, out: F32) -> None:
        """Fill `[1, n] float32`."""
        _price(columns.price, slots, out)


@kernel(i8[::1], i4[::1], i8, record(ITEM_TOTALS), f4[:, ::1])
def _age(created: NDArray[np.int64], items: I32, now: int, totals: Any, out: F32) -> None:
    for i in range(len(items)):
        at, seen = created[items[i]], totals[items[i]].last
        out[0, i] = max(0, now - at) / 86400000.0 if at > 0 else np.nan
        out[1, i] = max(0, now - seen) / 3600000.0 if seen > 0 else np.nan


class ItemAgeFeature(ItemFeature):
    """Days since a candidate was created, and hours since its last event (exposures too); NaN where unknown."""

    name = "item_age"
    columns = ("item_days", "item_idle_hours")
    time_based = True

    def __init__(self) -> None:
        self.folds: tuple[Fold, ...] = (ItemTotalsFold(),)

    def read_items(self, rows: Mapping[str, Rows], columns: ItemColumns, slots: I32, now: int, out: F32) -> None:
        """Fill `[2, n] float32`; 0 for what happened in the minute that has just begun."""
        _age(columns.created, slots, now, rows["item_totals"], out)
