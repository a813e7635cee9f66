"""The port of the index of vectors, asked for the items nearest to a visitor's taste; memory needs none."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from nearline.schema.vectors import Embedding, Keys, VectorIndex, Vectors
from nearline.stores import vectors as adapters
from nearline.stores.adapters import adapter

PAGE = 2_000
"""Vectors that are put in at once."""


@dataclass(frozen=True, slots=True)
class VectorPlace:
    """Where vectors are.

    Attributes:
        url: such as "milvus://127.0.0.1:19530".
        tenant: in the names of collections.
        timeout: seconds that one search may take.
    """

    url: str
    tenant: str
    timeout: float


def open_vector_index(place: VectorPlace, embedding: Embedding) -> VectorIndex:
    """Open an index; it connects when it is first asked.

    Raises:
        NearlineError: no such adapter, its client is not installed, or the URL says too little.
    """
    opened: VectorIndex = adapter(adapters, "storage.vectors", place.url, "memory:").open_index(place, embedding)
    return opened


def fill(index: VectorIndex, keys: Keys, vectors: Vectors) -> bool:
    """Put an embedding in where it is not there whole; return whether it was put. Who is interrupted begins again.

    Args:
        keys: of items, `[n] uint64`.
        vectors: theirs, `[n, d] float32`.

    Raises:
        StoreUnavailableError: it does not answer.
    """
    if index.whole():
        return False
    for first in range(0, len(keys), PAGE):
        index.put(keys[first : first + PAGE], vectors[first : first + PAGE])
    index.finish()
    return True


class Indexes:
    """The indexes that one world's sources ask, each opened once.

    Raises:
        NearlineError: as `open_vector_index`, before anything is learned that could not be put there.
    """

    def __init__(self, place: VectorPlace) -> None:
        open_vector_index(place, Embedding("none", "0", 1)).close()
        self._place = place
        self._open: dict[Embedding, VectorIndex] = {}
        self._lock = threading.Lock()

    def of(self, embedding: Embedding) -> VectorIndex:
        """Return the index of an embedding; see `open_vector_index`."""
        with self._lock:
            if embedding not in self._open:
                self._open[embedding] = open_vector_index(self._place, embedding)
            return self._open[embedding]

    def close(self) -> None:
        """Let go of all."""
        with self._lock:
            for index in self._open.values():
                index.close()
            self._open.clear()
