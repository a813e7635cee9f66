"""What people remember of a run: what they bought last, what they need now."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nearline.schema.clock import DAY
from nearline.sim.config import ShopConfig
from nearline.sim.taxonomy import COMPLEMENTS, LEAVES

NEVER = -(2**62)
_NEEDS = np.eye(len(LEAVES))[list(COMPLEMENTS)]
"""`[n_leaves, n_leaves]`, 1 where the second is the first one's complement."""


class Memory:
    """The part of a world that a run changes; each run has its own.

    Attributes:
        owed: `[n_users] int64`, the complement of the last purchase as a leaf, or -1; the next visits take it up.
        bought: `[n_users, n_leaves] int64`, when each last bought from a leaf, ms UTC, or `NEVER`.
    """

    def __init__(self, n_users: int) -> None:
        self.owed = np.full(n_users, -1, dtype=np.int64)
        self.bought = np.full((n_users, len(LEAVES)), NEVER, dtype=np.int64)

    def buy(self, users: NDArray[np.int64], leaves: NDArray[np.int64], at: NDArray[np.int64]) -> None:
        """Note purchases, each array `[n] int64`; times in ms UTC."""
        np.maximum.at(self.bought, (users, leaves), at)

    def wants(self, config: ShopConfig, users: NDArray[np.int64], at: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return what past purchases add to each leaf, `[n, n_leaves] float32` logits: satiation and need, fading."""
        age = (at[:, None] - self.bought[users]) / DAY
        happened = age >= 0
        age = np.where(happened, age, np.inf)
        own = -config.satiation * 0.5 ** (age / config.satiation_days)
        need = config.need * 0.5 ** (age / config.need_days)
        return np.asarray(own + need @ _NEEDS, np.float32)
