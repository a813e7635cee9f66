"""Segments by ScaNN (Guo et al. 2020): a tree, codes of 4 bits for each two dimensions, and codes of a byte to order by."""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from scann.scann_ops.py import scann_ops_pybind
from scann.scann_ops.py.scann_builder import ReorderType

from nearline.schema.vectors import Packed, Vectors
from nearline.stores.nearest.packing import unreadable
from nearline.stores.nearest.segment import NOTHING_FOUND, Found

SAMPLE = 250_000
"""Vectors that the tree is learned from, at most."""
THRESHOLD = 0.2
"""Of the error along a vector, which counts more than that across it."""
PAGE = 4_096
"""Vectors that are put in at once."""
FOLDER = "nearline-scann-"
"""What folders begin with that its files pass through."""
LEAST = 200
"""Vectors that are ordered by their codes of a byte, at least."""


class ScannSegment:
    """A searcher of ScaNN. What is read from a release is this process's own, not shared.

    Args:
        searcher: ScaNN's, filled.
        nprobe: leaves that a search looks into; 0 for what suits their number.
    """

    def __init__(self, searcher: Any, nprobe: int) -> None:
        self._searcher, self._nprobe = searcher, nprobe
        self._n = int(searcher.size())
        self._leaves = min(nprobe, leaves(self._n)) if nprobe else probes(self._n)

    @staticmethod
    def of(kind: str, vectors: Vectors, nprobe: int) -> ScannSegment:
        """Build one of vectors, `[n, d] float32`, on all processors. ScaNN takes no seed: no two builds are the same."""
        builder = scann_ops_pybind.builder(np.ascontiguousarray(vectors), LEAST, "dot_product")
        builder = builder.tree(leaves(len(vectors)), probes(len(vectors)), training_sample_size=SAMPLE)
        builder = builder.score_ah(2, anisotropic_quantization_threshold=THRESHOLD)
        searcher = builder.reorder(LEAST, quantize=ReorderType.INT8).build()
        return ScannSegment(searcher, nprobe)

    @staticmethod
    def read(body: Packed, nprobe: int) -> ScannSegment:
        """Return what `packed` returned.

        Raises:
            NearlineError: this version of ScaNN does not read it.
        """
        with TemporaryDirectory(prefix=FOLDER) as folder:
            try:
                with zipfile.ZipFile(io.BytesIO(body.data)) as files:
                    files.extractall(folder)
                return ScannSegment(scann_ops_pybind.load_searcher(folder), nprobe)
            except (zipfile.BadZipFile, OSError, RuntimeError, ValueError) as error:
                raise unreadable("ScaNN", error) from error

    def packed(self) -> Packed:
        """Return its files as bytes."""
        out = io.BytesIO()
        with TemporaryDirectory(prefix=FOLDER) as folder:
            self._searcher.serialize(folder, relative_path=True)
            with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as files:
                for path in sorted(Path(folder).iterdir()):
                    files.write(path, path.name)
        return np.frombuffer(out.getbuffer(), np.uint8)

    def grown(self, vectors: Vectors) -> ScannSegment:
        """Return a copy with vectors behind those of this one: searches would wait for who puts in."""
        with TemporaryDirectory(prefix=FOLDER) as folder:
            self._searcher.serialize(folder, relative_path=True)
            copy = scann_ops_pybind.load_searcher(folder)
        for first in range(0, len(vectors), PAGE):
            page = np.ascontiguousarray(vectors[first : first + PAGE])
            # Not by `upsert` of ScaNN's own class, which wants a name for each vector: searches then take twice as long.
            copy.searcher.upsert([None] * len(page), page, len(page))
        return ScannSegment(copy, self._nprobe)

    def search(self, query: Vectors, limit: int) -> Found:
        """Return the rows nearest to a query (`[d] float32`), best first."""
        limit = min(limit, self._n)
        if limit < 1:
            return NOTHING_FOUND
        rows, scores = self._searcher.search(query, limit, min(self._n, max(ordered(self._n, limit), LEAST)), self._leaves)
        return rows.astype(np.int64), scores

    def __len__(self) -> int:
        """Return how many vectors are in it."""
        return self._n


def leaves(n: int) -> int:
    """Return how many leaves n vectors are divided into: 2 √n."""
    return max(1, round(2 * math.sqrt(n)))


def probes(n: int) -> int:
    """Return how many leaves a search looks into where nobody says."""
    return min(leaves(n), max(16, leaves(n) // 40))


def ordered(n: int, limit: int) -> int:
    """Return how many are ordered by their codes of a byte, where `limit` of n are asked for.

    The more vectors there are, the more lie so close that 4 bits can't tell them apart: twice as many as are asked for reach
    0.95 of a million, six times as many of ten million.
    """
    return math.ceil(limit * max(2.0, leaves(n) / 1_000))
