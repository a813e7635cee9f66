"""Vectors of items outside the process: which they are, and what an index of them can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_hexdigest, xxh3_64_intdigest

Keys = NDArray[np.uint64]
Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Embedding:
    """What an index holds.

    Attributes:
        name: of whoever made it, such as a source's.
        version: digest of all of it, so that no query ever meets another embedding's vectors.
        dimensions: of a vector.
    """

    name: str
    version: str
    dimensions: int


def embedding_of(name: str, keys: Keys, vectors: Vectors) -> Embedding:
    """Return what vectors (`[n, d] float32`) of items (keys, `[n] uint64`) are called."""
    seed = xxh3_64_intdigest(np.ascontiguousarray(keys).data)
    return Embedding(name, xxh3_64_hexdigest(np.ascontiguousarray(vectors).data, seed), vectors.shape[1])


class VectorIndex(Protocol):
    """Vectors of one embedding by item. Any number of threads may ask; what several put is the same.

    Every method but `close` raises StoreUnavailableError where the index does not answer in time.
    """

    def whole(self) -> bool:
        """Return whether somebody has put all of the embedding in and said so; from then on `nearest` can be asked."""
        ...

    def put(self, keys: Keys, vectors: Vectors) -> None:
        """Put vectors (`[n, d] float32`) in, or in the place of those that items (`[n] uint64`) had."""
        ...

    def drop(self, keys: Keys) -> None:
        """Take items out; those that are not there change nothing."""
        ...

    def finish(self) -> None:
        """Say that it is whole, to all who ask, and drop embeddings of that name but for the two that were last whole."""
        ...

    def nearest(self, query: Vectors, limit: int) -> tuple[Keys, Vectors]:
        """Return at most `limit` items by inner product with a query (`[d] float32`), best first: keys and products, `[n]`."""
        ...

    def __len__(self) -> int:
        """Return how many items are in it."""
        ...

    def close(self) -> None:
        """Let go of connections. Closing twice is fine."""
        ...
