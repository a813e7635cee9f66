"""Retrieval: what the sources said of a candidate."""

from __future__ import annotations

import numpy as np

from nearline.schema.candidates import F32
from nearline.schema.components import Fold, ReadContext
from nearline.schema.kernel import f4, kernel


@kernel(f4[:, ::1], f4[:, ::1], f4[:, ::1])
def _read(scores: F32, ranks: F32, out: F32) -> None:
    n = scores.shape[1]
    out[2 * n, :] = 0.0
    for s in range(n):
        for i in range(len(scores)):
            out[s, i] = scores[i, s]
        for i in range(len(scores)):
            out[n + s, i] = ranks[i, s]
        for i in range(len(scores)):
            out[2 * n, i] += np.float32(1.0) if out[n + s, i] > 0.0 else np.float32(0.0)


class RetrievalFeature:
    """Each source's score and 1 / rank (0 where it did not retrieve), and how many sources agree.

    Args:
        sources: names of the application's sources, in its order.
    """

    name = "retrieval"
    folds: tuple[Fold, ...] = ()
    time_based = False

    def __init__(self, sources: tuple[str, ...] = ()) -> None:
        scores = tuple(f"{name}_score" for name in sources)
        ranks = tuple(f"{name}_rank" for name in sources)
        self.columns: tuple[str, ...] = (*scores, *ranks, "sources")

    def read(self, context: ReadContext, out: F32) -> None:
        """Fill `[2 * n_sources + 1, n] float32`."""
        _read(context.candidates.retrieval, context.candidates.ranks, out)
