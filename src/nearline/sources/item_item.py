"""Item to item: items that the same visitors touched (Sarwar et al. 2001), for catalogues where EASE is too big."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nearline.schema.candidates import I32
from nearline.schema.errors import NearlineError
from nearline.sources.ease import LARGEST
from nearline.sources.neighbours import Histories, NeighbourSource, table_of

SIMILARITIES = ("cosine", "bm25", "count")
LONGEST = 500
"""Events of one visitor that count, his last ones: pairs grow with the square of them."""


class ItemItemSource(NeighbourSource):
    """Items that the same visitors touched as the last ones, by cosine, BM25 or plain count.

    Off by default, see `docs/concepts/sources.md`; not fitted where `ease` is (up to 8,000 items), unless `least` says so.

    Args:
        quota: candidates at most.
        similarity: "cosine"; "bm25", which discounts what everybody touches; or "count" (k nearest by co-occurrence).
        neighbours: how many each item keeps.
        least: fitted only for catalogues with more touched items than this.
        ask: how many of the last items to ask with.
        decay: weight of each further one.

    Raises:
        NearlineError: there is no such similarity.
    """

    name = "item_item"
    default = False

    def __init__(
        self,
        quota: int = 200,
        similarity: Literal["cosine", "bm25", "count"] = "bm25",
        neighbours: int = 100,
        least: int = LARGEST,
        ask: int = 20,
        decay: float = 0.8,
    ) -> None:
        if similarity not in SIMILARITIES:
            raise NearlineError("ItemItemSource.similarity", similarity, f"use one of {', '.join(SIMILARITIES)}")
        super().__init__(quota, ask, decay)
        self.similarity, self.neighbours, self.least = similarity, neighbours, least

    def why_not(self, n: int) -> str:
        """Leave a catalogue to EASE that it covers."""
        return "" if n > self.least else f"{n:,} items are touched, at most {self.least:,}: ease covers them"

    def learn(self, past: Histories, seed: int) -> tuple[I32, NDArray[np.float16]] | None:
        """Return each item's nearest others."""
        from implicit.nearest_neighbours import all_pairs_knn, bm25_weight, normalize

        matrix = self._matrix(past)
        if self.similarity == "cosine":
            matrix = normalize(matrix.T).T
        elif self.similarity == "bm25":
            matrix = bm25_weight(matrix.T, 1.2, 0.75).T
        nearest = all_pairs_knn(sparse.csr_matrix(matrix), self.neighbours + 1, show_progress=False, num_threads=2)
        return table_of(sparse.csr_matrix(nearest), self.neighbours)

    def _matrix(self, past: Histories) -> sparse.csr_matrix:
        """Return what each visitor's last events say of each item, roots of weights, `[n_users, n_items] float64`."""
        lengths = np.diff(past.starts)
        user = np.repeat(np.arange(len(lengths)), lengths)
        last = past.starts[1:][user] - np.arange(len(user)) <= LONGEST
        shape = (len(lengths), len(past.keys))
        weights = np.sign(past.values) * past.values.astype(np.float64) ** 2
        matrix = sparse.csr_matrix((weights[last], (user[last], past.items[last])), shape=shape)
        matrix.sum_duplicates()
        # A dislike that outweighs the likes leaves nothing for counting; for a cosine it points the other way.
        matrix.data = np.sign(matrix.data) * np.sqrt(np.abs(matrix.data))
        if self.similarity != "cosine":
            matrix.data = np.maximum(matrix.data, 0.0)
        matrix.eliminate_zeros()
        return matrix
