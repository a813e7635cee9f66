"""What a list is truly worth: expected clicks and purchases by the same law that draws them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nearline.sim.behaviour import PURCHASE_AFTER_CART, cart_chance, position_bias, sigmoid

PURCHASE_WORTH = 8.0
"""What a purchase counts beside a click, as the shop's application weighs its outcomes."""


@dataclass(frozen=True, slots=True)
class Worth:
    """Expected clicks and purchases of a list."""

    clicks: float
    purchases: float

    @property
    def value(self) -> float:
        """Return clicks + 8 purchases."""
        return self.clicks + PURCHASE_WORTH * self.purchases


def worth(utility: NDArray[np.float32], weights: NDArray[np.float64] | None = None) -> Worth:
    """Return what a list is worth.

    Args:
        utility: `[n, k] float32`, the list's true utilities in each of `n` situations, such as what the visit is after.
        weights: probability of each situation, `[n] float64`; all alike when not given.
    """
    bias = position_bias(np.arange(1, utility.shape[1] + 1))
    clicks = bias * sigmoid(utility)
    purchases = clicks * cart_chance(utility) * PURCHASE_AFTER_CART
    return Worth(
        float(np.average(clicks.sum(axis=1), weights=weights)), float(np.average(purchases.sum(axis=1), weights=weights))
    )
