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

EXPOSURE, SEARCH = int(Role.EXPOSURE), int(Role.SEARCH)
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
        if event.role == EXPOSURE or event.role == SEARCH or event.item == 0:
            continue
        weight = event.weight // 10
        if event.category != 0:
            _add(categories, category_weights, slot, event.category, weight)
        if event.brand != 0:
            _add(brands, brand_weights, slot, event.brand, weight)
        if event.price > 0 and weight > 0:
            price[slot] += event.price
            prices[slot] += 1


class AffinityFold:
    """Weights by category and brand (hundredths of the event weights), and the sum and number of prices (thousandths)."""

    name = "affinity"
    entity: Entity = "user"
    tier: Tier = "history"

    def __init__(self, categories: int = 8, brands: int = 4) -> None:
        self.dtype: np.dtype[np.void] = np.dtype(
            [
                ("categories", "<u4", (categories,)),
                ("category_weights", "<i4", (categories,)),
                ("brands", "<u4", (brands,)),
                ("brand_weights", "<i4", (brands,)),
                ("price", "<i8"),
                ("prices", "<i4"),
            ]
        )

    def update(self, rows: Rows, batch: FoldBatch) -> None:
        """Add each event's weight to its item's category and brand."""
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


@kernel(u4[::1], i4[::1], u4[::1], i4[::1], f4, i4[::1], u4[::1], u4[::1], f4[::1], f4[:, ::1])
def _read(
    categories: NDArray[np.uint32],
    category_weights: I32,
    brands: NDArray[np.uint32],
    brand_weights: I32,
    mean_price: np.float32,
    items: I32,
    category: NDArray[np.uint32],
    brand: NDArray[np.uint32],
    price: F32,
    out: F32,
) -> None:
    category_sum = max(1, category_weights.sum())
    brand_sum = max(1, brand_weights.sum())
    for i in range(len(items)):
        item = items[i]
        share = np.float32(0.0)
        for j in range(len(categories)):
            if categories[j] != 0 and categories[j] == category[item]:
                share = np.float32(category_weights[j]) / np.float32(category_sum)
        out[0, i] = share
        share = np.float32(0.0)
        for j in range(len(brands)):
            if brands[j] != 0 and brands[j] == brand[item]:
                share = np.float32(brand_weights[j]) / np.float32(brand_sum)
        out[1, i] = share
        out[2, i] = price[item] / mean_price


class AffinityFeature:
    """Share of a candidate's category and brand in what the visitor chose, and its price over his mean price."""

    name = "affinity"
    columns = ("category_affinity", "brand_affinity", "price_ratio")
    time_based = False

    def __init__(self) -> None:
        self.folds: tuple[Fold, ...] = (AffinityFold(),)

    def read(self, context: ReadContext, out: F32) -> None:
        """Fill `[3, n] float32`; the price ratio is NaN where a price is missing."""
        row = context.user.rows["affinity"][0]
        prices = int(row["prices"])
        mean = np.float32(int(row["price"]) / prices / 1000.0) if prices else np.float32(np.nan)
        columns = context.columns
        _read(
            row["categories"],
            row["category_weights"],
            row["brands"],
            row["brand_weights"],
            mean,
            context.candidates.items,
            columns.category,
            columns.brand,
            columns.price,
            out,
        )
