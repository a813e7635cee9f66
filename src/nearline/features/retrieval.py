"""Retrieval: what the sources said of a candidate."""

from __future__ import annotations

import numpy as np

from nearline.schema.candidates import F32
from nearline.schema.components import Fold, ReadContext


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
        n = len(context.candidates.retrieval)
        out[:n] = context.candidates.retrieval
        out[n : 2 * n] = context.candidates.ranks
        out[2 * n] = np.count_nonzero(context.candidates.ranks, axis=0)
