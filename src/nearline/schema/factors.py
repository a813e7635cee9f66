"""Factorisation of who touched what, as sources ask for it and engines do it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32

if TYPE_CHECKING:
    from nearline.schema.components import FitData


@dataclass(frozen=True, slots=True)
class Recipe:
    """How who touched what is factorised.

    Attributes:
        factors: dimension of the vectors.
        regularization: λ, for each user and item.
        alpha: confidence that a unit of log(1 + weight) adds.
        iterations: of both sides.
    """

    factors: int
    regularization: float
    alpha: float
    iterations: int


@dataclass(frozen=True, slots=True)
class Factors:
    """Items as vectors.

    Attributes:
        keys: of the items, in order, `[n] uint64`.
        vectors: `[n, factors] float32`.
        users: how many users they were learned from.
    """

    keys: NDArray[np.uint64]
    vectors: F32
    users: int


class Factoriser(Protocol):
    """An engine that factorises the interactions (`schema.interactions`) of a whole history, on however many machines."""

    def __call__(self, data: FitData, recipe: Recipe) -> Factors | None:
        """Return the items that were touched, `None` where there is too little to learn from."""
        ...
