"""Seasons: what is wanted more at some times of year, week and day."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nearline.schema.clock import DAY, HOUR
from nearline.sim.config import ShopConfig
from nearline.sim.taxonomy import LEAVES


class Season:
    """Demand of each leaf over time, in logits; each leaf has hidden phases of its own.

    A slow wave of length `season_days`, and a rhythm: a wave over the day plus a liking for weekends or for working days.
    """

    def __init__(self, seed: int, config: ShopConfig) -> None:
        rng = np.random.default_rng([seed, 11])
        n = len(LEAVES)
        self._config = config
        self.phase = rng.random(n)
        self.peak_hour = rng.normal(19.0, 4.0, n)
        self.weekend = rng.uniform(-1.0, 1.0, n)

    def at(self, at: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the demand at times (ms UTC, `[n] int64`), `[n, n_leaves] float32` logits."""
        config, when = self._config, at[:, None]
        wave = np.sin(2 * np.pi * (when / (config.season_days * DAY) + self.phase))
        hour = np.cos(2 * np.pi * (when % DAY / HOUR - self.peak_hour) / 24)
        off = np.where(is_weekend(when), 1.0, -0.4) * self.weekend
        return np.asarray(config.season * wave + config.rhythm * (hour + off), np.float32)


def is_weekend(at: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether times (ms UTC) are on a Saturday or Sunday; 1 January 1970 was a Thursday."""
    return np.asarray((at // DAY + 3) % 7 >= 5)
