"""Segments: vectors by row, searched and never changed, so that any number of threads may ask without a lock."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nearline.schema.vectors import Vectors

Rows = NDArray[np.int64]
Found = tuple[Rows, Vectors]
"""Rows and inner products, `[n]`, best first."""
NOTHING_FOUND: Found = (np.empty(0, np.int64), np.empty(0, np.float32))


class Segment(Protocol):
    """Vectors with the rows 0, 1, 2, ..."""

    def search(self, query: Vectors, limit: int) -> Found:
        """Return at most `limit` rows by inner product with a query (`[d] float32`), best first."""
        ...

    def grown(self, vectors: Vectors) -> Segment:
        """Return one with vectors (`[n, d] float32`) behind those of this one, which goes on serving."""
        ...

    def __len__(self) -> int:
        """Return how many vectors are in it."""
        ...
