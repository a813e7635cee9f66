"""Price bands: a histogram of the prices a visitor chose, exact for its sixteen bands; it outlives the hot row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32
from nearline.schema.components import ALL_EXPIRED, Entity, Fold, FoldBatch, ReadContext, Rows, Tier
from nearline.schema.event import EVENT, Events, Role
from nearline.schema.kernel import f4, i4, inline, kernel, record, u1

EXPOSURE, SEARCH = int(Role.EXPOSURE), int(Role.SEARCH)
EDGES = tuple(1000 * step * 10**power for power in range(5) for step in (1, 2, 5))
"""Where each band but the first begins, in thousandths: 1, 2, 5, 10, 20, 50, ... 50,000."""
BANDS = len(EDGES) + 1
PRICE_BANDS: np.dtype[np.void] = np.dtype([("counts", "<u2", (BANDS,))])
"""Choices by band; each stops at 65,535."""


@inline
def _band(price: Any) -> Any:
    """Return the band of a price in thousandths."""
    band = 0
    for edge in EDGES:
        band += int(price >= edge)
    return band


@kernel(record(PRICE_BANDS, packed=True), i4[::1], record(EVENT), u1[::1])
def _update(rows: Any, users: I32, events: Events, reset: NDArray[np.uint8]) -> None:
    for i in range(len(users)):
        if users[i] < 0:
            continue
        row = rows[users[i]]
        if reset[i] >= ALL_EXPIRED:
            for band in range(BANDS):
                row.counts[band] = 0
        event: Any = events[i]
        if event.role == EXPOSURE or event.role == SEARCH or event.item == 0 or event.price <= 0 or event.weight <= 0:
            continue
        band = _band(event.price)
        if row.counts[band] < 65535:
            row.counts[band] += 1


class PriceBandsFold:
    """Choices by band of price (32 bytes)."""

    name = "price_bands"
    entity: Entity = "user"
    tier: Tier = "history"
    dtype = PRICE_BANDS

    def update(self, rows: Rows, batch: FoldBatch) -> None:
        """Count each liked item's price in its band."""
        _update(rows, batch.users, batch.events, batch.reset)


@kernel(record(PRICE_BANDS), i4[::1], f4[::1], f4[:, ::1])
def _read(rows: Any, items: I32, price: F32, out: F32) -> None:
    row = rows[0]
    total, middle = 0, 0.0
    for band in range(BANDS):
        total += row.counts[band]
        middle += band * row.counts[band]
    if total == 0:
        out[:] = np.nan
        return
    middle /= total
    shares = np.empty(BANDS, np.float32)
    for band in range(BANDS):
        shares[band] = row.counts[band] / total
    for i in range(len(items)):
        own = price[items[i]]
        if np.isnan(own):
            out[0, i] = np.nan
            out[1, i] = np.nan
        else:
            band = _band(np.rint(np.float64(own) * 1000.0))
            out[0, i] = shares[band]
            out[1, i] = band - middle


class PriceBandsFeature:
    """Share of the visitor's choices in the candidate's band of price, and how many bands it is above their mean."""

    name = "price_bands"
    columns = ("price_band_share", "price_band_gap")
    time_based = False

    def __init__(self) -> None:
        self.folds: tuple[Fold, ...] = (PriceBandsFold(),)

    def read(self, context: ReadContext, out: F32) -> None:
        """Fill `[2, n] float32`; NaN where the candidate has no price or the visitor chose none that has."""
        _read(context.user.rows["price_bands"], context.candidates.items, context.columns.price, out)
