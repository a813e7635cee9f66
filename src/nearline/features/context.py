"""Context: when, on what device and page a list is asked for; and the age of each item."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.features.totals import ItemTotalsFold
from nearline.schema.candidates import F32, I32
from nearline.schema.clock import DAY, HOUR
from nearline.schema.components import Fold, ReadContext
from nearline.schema.event import DEVICES
from nearline.schema.kernel import f4, i4, i8, kernel
from nearline.schema.query import SURFACES


class ContextFeature:
    """Hour and weekday in UTC, device and surface; the same for every candidate."""

    name = "context"
    columns = ("hour", "weekday", "device", "surface")
    folds: tuple[Fold, ...] = ()
    time_based = True

    def read(self, context: ReadContext, out: F32) -> None:
        """Fill `[4, n] float32`."""
        query = context.query
        out[0] = query.now // HOUR % 24
        # 1 January 1970 was a Thursday; Monday is 0.
        out[1] = (query.now // DAY + 3) % 7
        out[2] = DEVICES.index(query.device) if query.device in DEVICES else 0
        out[3] = SURFACES.index(query.surface) if query.surface in SURFACES else len(SURFACES)


@kernel(f4[::1], i4[::1], f4[:, ::1])
def _price(price: F32, items: I32, out: F32) -> None:
    for i in range(len(items)):
        out[0, i] = price[items[i]]


class PriceFeature:
    """A candidate's price, NaN for none."""

    name = "price"
    columns = ("price",)
    folds: tuple[Fold, ...] = ()
    time_based = False

    def read(self, context: ReadContext, out: F32) -> None:
        """Fill `[1, n] float32`."""
        _price(context.columns.price, context.candidates.items, out)


@kernel(i8[::1], i4[::1], i8, i8[:], f4[:, ::1])
def _age(created: NDArray[np.int64], items: I32, now: int, last: NDArray[np.int64], out: F32) -> None:
    for i in range(len(items)):
        at = created[items[i]]
        out[0, i] = (now - at) / 86400000.0 if at > 0 else np.nan
        seen = last[items[i]]
        out[1, i] = (now - seen) / 3600000.0 if seen > 0 else np.nan


class ItemAgeFeature:
    """Days since a candidate was created, and hours since its last event (exposures too); NaN where unknown."""

    name = "item_age"
    columns = ("item_days", "item_idle_hours")
    time_based = True

    def __init__(self) -> None:
        self.folds: tuple[Fold, ...] = (ItemTotalsFold(),)

    def read(self, context: ReadContext, out: F32) -> None:
        """Fill `[2, n] float32`."""
        last: Any = context.rows["item_totals"]["last"]
        _age(context.columns.created, context.candidates.items, context.query.now, last, out)
