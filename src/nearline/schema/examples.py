"""What rankers learn from: rows of features with what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32


@dataclass(frozen=True, slots=True)
class Places:
    """Where rows stood when they were shown.

    Attributes:
        rank: from 1, 0 for what was in no list, `[n] int32`.
        surface: its code in `SURFACE_CODES`, 0 for none, `[n] uint8`.
        propensity: probability with which it was shown there, 1 where nothing was left to chance, `[n] float32`.
        doubtful: nobody said whether it was looked at, `[n] bool`.
    """

    rank: I32
    surface: NDArray[np.uint8]
    propensity: F32
    doubtful: NDArray[np.bool_]

    @classmethod
    def none(cls, n: int) -> Places:
        """Return those of `n` rows that were in no list."""
        return cls(np.zeros(n, np.int32), np.zeros(n, np.uint8), np.ones(n, np.float32), np.zeros(n, np.bool_))


@dataclass(frozen=True, slots=True)
class Examples:
    """Training lists for a ranker.

    Attributes:
        x: `[n, n_features] float32`, missing NaN.
        y: `[n, n_outcomes] float32`, from 0 to 1; between them only where an application predicts a share (`full_dwell`).
        weight: `[n] float32`.
        group: which list, not decreasing, `[n] int32`.
        features: column names.
        outcomes: names of the outcomes.
        places: where the rows stood; `None` where none of them was in a list.
    """

    x: F32
    y: F32
    weight: F32
    group: I32
    features: Sequence[str]
    outcomes: Sequence[str]
    places: Places | None = None

    def whole(self, seed: int) -> Examples:
        """Return these with each share drawn: 1 with its own probability, else 0; for rankers that know no other labels."""
        if np.isin(self.y, (0, 1)).all():
            return self
        drawn = np.random.default_rng(seed).random(self.y.shape, np.float32) < self.y
        return replace(self, y=drawn.astype(np.float32))
