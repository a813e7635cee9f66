"""Showings: what each visitor was shown of late, and sent."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Shown(NamedTuple):
    """What one visitor was shown, in no order.

    Attributes:
        keys: of items, 0 for none, `[n] uint64`.
        first: when the count began, s UTC, `[n] uint32`.
        last: when it was shown last, s UTC, `[n] uint32`.
        times: how often since `first`, `[n] uint32`.
    """

    keys: NDArray[np.uint64]
    first: NDArray[np.uint32]
    last: NDArray[np.uint32]
    times: NDArray[np.uint32]


class Showings(Protocol):
    """What visitors were shown, as far as it is remembered."""

    def of(self, visitor: int) -> Shown | None:
        """Return what a visitor was shown on pages of late, `None` where nothing is known."""
        ...

    def sent(self, visitor: int) -> Shown | None:
        """Return what he was sent by email and push, `None` where nothing is known."""
        ...
