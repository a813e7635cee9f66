"""Segments: vectors by row, searched and never changed, so that any number of threads may ask without a lock."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nearline.schema.kernel import f4, i8, kernel
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


@kernel(i8[::1], f4[::1], i8[::1], f4[::1], i8[::1], f4[::1])
def _merge(rows: Rows, scores: Vectors, more: Rows, others: Vectors, out: Rows, best: Vectors) -> None:
    i, j = 0, 0
    for place in range(len(out)):
        # Equal ones in the order in which they were given.
        if j == len(more) or (i < len(rows) and scores[i] >= others[j]):
            out[place], best[place] = rows[i], scores[i]
            i += 1
        else:
            out[place], best[place] = more[j], others[j]
            j += 1


def merged(first: Found, second: Found, limit: int) -> Found:
    """Return the best of two searches, at most `limit`."""
    n = min(limit, len(first[0]) + len(second[0]))
    out, best = np.empty(n, np.int64), np.empty(n, np.float32)
    _merge(*first, *second, out, best)
    return out, best
