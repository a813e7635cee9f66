"""Affinity: which categories, brands and prices a visitor chooses; it outlives the hot row.

Eight categories and four brands are kept with the space-saving rule (Metwally et al. 2005): a newcomer takes the place
of the lightest and inherits its weight, so a weight is too high by at most the lightest one kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32
from nearline.schema.components import ALL_EXPIRED, Entity, Fold, FoldBatch, ReadContext, Rows, Tier
from nearline.schema.event import EVENT, Events, Role
from nearline.schema.kernel import f4, i4, i8, inline, kernel, record, u1, u4

EXPOSURE, SEARCH, DECLARED = int(Role.EXPOSURE), int(Role.SEARCH), int(Role.DECLARED)
MOST = (1 << 31) - 1


@inline
def _add(keys: Any, weights: Any, slot: int, key: int, weight: int) -> None:
    lightest = 0
    found = -1
    for j in range(keys.shape[1]):
        if keys[slot, j] == key:
            found = j
            break
        if weights[slot, j] < weights[slot, lightest]:
            lightest = j
    if found >= 0:
        weights[slot, found] = min(MOST, max(0, weights[slot, found] + weight))
    elif weight > 0:
        keys[slot, lightest] = key
        weights[slot, lightest] = min(MOST, weights[slot, lightest] + weight)


@kernel(u4[:, :], i4[:, :], u4[:, :], i4[:, :], i8[:], i4[:], i4[::1], record(EVENT), u1[::1])
def _update(
    categories: NDArray[np.uint32],
    category_weights: I32,
    brands: NDArray[np.uint32],
    brand_weights: I32,
    price: NDArray[np.int64],
    prices: I32,
    users: I32,
    events: Events,
    reset: NDArray[np.uint8],
) -> None:
    for i in range(len(users)):
        slot = users[i]
        if slot < 0:
            continue
        if reset[i] >= ALL_EXPIRED:
            categories[slot, :] = 0
            category_weights[slot, :] = 0
            brands[slot, :] = 0
            brand_weights[slot, :] = 0
            price[slot] = 0
            prices[slot] = 0
        event: Any = events[i]
        if event.role == EXPOSURE or event.role == SEARCH or (event.item == 0 and event.role != DECLARED):
            continue
        weight = event.weight // 10
        if event.category != 0:
            _add(categories, category_weights, slot, event.category, weight)
        if event.brand != 0:
            _add(brands, brand_weights, slot, event.brand, weight)
        if event.price > 0 and weight > 0:
            price[slot] += event.price
            prices[slot] += 1


AFFINITY: np.dtype[np.void] = np.dtype(
    [
        ("categories", "<u4", (8,)),
        ("category_weights", "<i4", (8,)),
        ("brands", "<u4", (4,)),
        ("brand_weights", "<i4", (4,)),
        ("price", "<i8"),
        ("prices", "<i4"),
    ]
)
"""Keys and their weights (hundredths of the event weights); the sum (thousandths) and number of prices."""


class AffinityFold:
    """Weights by category and brand, and the sum and number of prices (108 bytes)."""

    name = "affinity"
    entity: Entity = "user"
    tier: Tier = "history"
    dtype = AFFINITY

    def update(self, rows: Rows, batch: FoldBatch) -> None:
        """Add each event's weight to its item's category and brand, and an interest's to those it names."""
        _update(
            rows["categories"],
            rows["category_weights"],
            rows["brands"],
            rows["brand_weights"],
            rows["price"],
            rows["prices"],
            batch.users,
            batch.events,
            batch.reset,
        )


@inline
def _shares(keys: Any, weights: Any, own: Any, out: Any) -> None:
    total = np.int64(0)
    for j in range(len(keys)):
        total += weights[j]
    out[:] = 0.0
    for j in range(len(keys)):
        # Keys outside, items inside: the inner loop is the one that the compiler makes wide.
        key, share = keys[j], np.float32(weights[j]) / np.float32(max(np.int64(1), total))
        if key != 0:
            for i in range(len(own)):
                out[i] = share if own[i] == key else out[i]


@kernel(record(AFFINITY), i4[::1], u4[::1], u4[::1], f4[::1], f4[:, ::1])
def _read(rows: Any, items: I32, category: NDArray[np.uint32], brand: NDArray[np.uint32], price: F32, out: F32) -> None:
    row = rows[0]
    own = np.empty(len(items), np.uint32)
    for i in range(len(items)):
        own[i] = category[items[i]]
    _shares(row.categories, row.category_weights, own, out[0])
    for i in range(len(items)):
        own[i] = brand[items[i]]
    _shares(row.brands, row.brand_weights, own, out[1])
    mean = np.float32(row.price / row.prices / 1000.0) if row.prices > 0 else np.float32(np.nan)
    for i in range(len(items)):
        out[2, i] = price[items[i]] / mean


class AffinityFeature:
    """Share of a candidate's category and brand in what the visitor chose, and its price over his mean price."""

    name = "affinity"
    columns = ("category_affinity", "brand_affinity", "price_ratio")
    time_based = False

    def __init__(self) -> None:
        self.folds: tuple[Fold, ...] = (AffinityFold(),)

    def read(self, context: ReadContext, out: F32) -> None:
        """Fill `[3, n] float32`; the price ratio is NaN where a price is missing."""
        columns = context.columns
        _read(context.user.rows["affinity"], context.candidates.items, columns.category, columns.brand, columns.price, out)
