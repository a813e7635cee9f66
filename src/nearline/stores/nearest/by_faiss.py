"""Segments by FAISS (Douze et al. 2024): inverted files, whole or compressed, and HNSW."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np

from nearline.schema.vectors import Packed, Vectors
from nearline.stores.nearest.packing import unreadable
from nearline.stores.nearest.segment import NOTHING_FOUND, Found

PAGE = 100_000
"""Vectors that are added at once: what is needed beside them stays small."""
PER_LIST = 48
"""Vectors that each list's centre is learned from."""
ROUNDS = 8
"""Of k-means."""
LINKS, BUILDING = 16, 80
"""Of HNSW: links of a vector, and what is kept in sight while it is put in."""


class FaissSegment:
    """A FAISS index. What is read from a release stays in its file's pages, which all processes share.

    Args:
        index: FAISS's, filled.
        nprobe: what a search looks into; 0 for what suits the kind.
        bound: greatest squared length of a vector, where the index knows distances only; 0 where it knows products.
        owner: of the memory that the index only looks at.
    """

    def __init__(self, index: Any, nprobe: int, bound: float = 0.0, owner: Packed | None = None) -> None:
        self._index, self._nprobe, self._bound, self._owner = index, nprobe, bound, owner
        if isinstance(index, faiss.IndexIVF):
            index.nprobe = min(nprobe or probes(index.nlist), index.nlist)
        elif isinstance(index, faiss.IndexHNSW):
            index.hnsw.efSearch = nprobe or 256

    @staticmethod
    def of(kind: str, vectors: Vectors, nprobe: int, seed: int = 7) -> FaissSegment:
        """Build one of vectors, `[n, d] float32`; on as many threads as FAISS may use where it is called."""
        bound = float((vectors**2).sum(axis=1).max()) if kind == "hnsw" else 0.0
        index = _empty(kind, *vectors.shape)
        if not index.is_trained:
            random = np.random.default_rng(seed)
            most = PER_LIST * max(index.nlist if isinstance(index, faiss.IndexIVF) else 0, 1_000)
            chosen = random.choice(len(vectors), min(most, len(vectors)), replace=False, shuffle=False)
            index.train(_lifted(vectors[np.sort(chosen)], bound))
        _add(index, vectors, bound)
        return FaissSegment(index, nprobe, bound)

    @staticmethod
    def read(body: Packed, nprobe: int) -> FaissSegment:
        """Return what `packed` returned; it looks at those bytes, and holds on to them.

        Raises:
            NearlineError: this version of FAISS does not read it.
        """
        try:
            index = faiss.read_index(faiss.ZeroCopyIOReader(faiss.swig_ptr(body), len(body)))
        except RuntimeError as error:
            raise unreadable("FAISS", error) from error
        return FaissSegment(index, nprobe, float(body[-8:].view(np.float64)[0]), body)

    def packed(self) -> Packed:
        """Return it as bytes."""
        return np.concatenate((faiss.serialize_index(self._index), np.array([self._bound]).view(np.uint8)))

    def grown(self, vectors: Vectors) -> FaissSegment:
        """Return a copy with vectors behind those of this one, built on this thread alone: others are searching."""
        faiss.omp_set_num_threads(1)
        # FAISS ends the process where memory that it only looks at is to grow.
        looking = self._owner is not None
        copy = faiss.deserialize_index(self.packed()) if looking else faiss.clone_index(self._index)
        _add(copy, vectors, self._bound)
        return FaissSegment(copy, self._nprobe, self._bound)

    def search(self, query: Vectors, limit: int) -> Found:
        """Return the rows nearest to a query (`[d] float32`), best first."""
        limit = min(limit, self._index.ntotal)
        if limit < 1:
            return NOTHING_FOUND
        asked = np.append(query, np.float32(0)) if self._bound else query
        (scores,), (rows,) = self._index.search(asked.reshape(1, -1), limit)
        if self._bound:
            scores = (np.float32(query @ query + self._bound) - scores) / 2
        if rows[-1] < 0:  # the lists looked into hold fewer
            there = int((rows >= 0).sum())
            rows, scores = rows[:there], scores[:there]
        return rows, scores

    def __len__(self) -> int:
        """Return how many vectors are in it."""
        return int(self._index.ntotal)


def lists(n: int) -> int:
    """Return how many lists n vectors are divided into: a power of two near 4 √n."""
    return int(2 ** np.clip(np.round(np.log2(4 * np.sqrt(max(n, 1)))), 2, 16))


def probes(n_lists: int) -> int:
    """Return how many lists a search looks into where nobody says."""
    return int(np.clip(n_lists // 26, 32, 1_024))


def _empty(kind: str, n: int, dimensions: int) -> Any:
    metric = faiss.METRIC_INNER_PRODUCT
    if kind == "flat":
        return faiss.IndexFlatIP(dimensions)
    if kind == "hnsw":
        index = faiss.IndexHNSWSQ(dimensions + 1, faiss.ScalarQuantizer.QT_8bit, LINKS, faiss.METRIC_L2)
        index.hnsw.efConstruction = BUILDING
        return index
    n_lists = lists(n)
    centres = faiss.IndexFlatIP(dimensions)
    if kind == "ivf_sq8":
        index = faiss.IndexIVFScalarQuantizer(centres, dimensions, n_lists, faiss.ScalarQuantizer.QT_8bit, metric, False)
    else:
        parts = next(m for m in range(max(1, dimensions // 4), 0, -1) if dimensions % m == 0)
        index = faiss.IndexIVFPQ(centres, dimensions, n_lists, parts, 8, metric)
    index.cp.niter = ROUNDS
    index.cp.max_points_per_centroid = PER_LIST
    index.cp.min_points_per_centroid = 1
    return index


def _add(index: Any, vectors: Vectors, bound: float) -> None:
    for first in range(0, len(vectors), PAGE):
        index.add(_lifted(vectors[first : first + PAGE], bound))


def _lifted(vectors: Vectors, bound: float) -> Vectors:
    """Return vectors as they are, or with one more dimension, in which the nearest have the greatest products.

    A graph of products alone leads to few long vectors (Bachrach et al. 2014 on the reduction to distances).
    """
    if not bound:
        return np.ascontiguousarray(vectors)
    rest = np.sqrt((bound - (vectors**2).sum(axis=1)).clip(min=0))
    return np.column_stack((vectors, rest)).astype(np.float32)
