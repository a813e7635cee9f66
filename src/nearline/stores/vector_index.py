"""The port of the index of vectors, asked for the items nearest to a visitor's taste."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from nearline.schema.vectors import Embedding, HeldIndex, Keys, Packed, VectorIndex, Vectors
from nearline.stores import vectors as adapters
from nearline.stores.adapters import adapter

PAGE = 2_000
"""Vectors that are put in at once."""


@dataclass(frozen=True, slots=True)
class VectorPlace:
    """Where vectors are.

    Attributes:
        url: such as "memory:" or "milvus://127.0.0.1:19530".
        tenant: in the names of collections.
        timeout: seconds that one search may take.
    """

    url: str
    tenant: str
    timeout: float


SCANNING = VectorPlace("memory:?index=scan", "", 3600.0)
"""Where nothing is built for: all vectors are scanned."""
KEPT = 2
"""Embeddings of a name that are open: what serves, and what is about to."""


def open_vector_index(place: VectorPlace, embedding: Embedding) -> VectorIndex:
    """Open an index; it connects when it is first asked.

    Raises:
        NearlineError: no such adapter, its client is not installed, or the URL says too little.
    """
    opened: VectorIndex = adapter(adapters, "storage.vectors", place.url).open_index(place, embedding)
    return opened


def fill(index: VectorIndex, keys: Keys, vectors: Vectors, packed: Packed | None = None) -> bool:
    """Put an embedding in where it is not there whole; return whether it was put. Who is interrupted begins again.

    Args:
        keys: of items, `[n] uint64`.
        vectors: theirs, `[n, d] float32`.
        packed: the index that a release brought, `[m] uint8`.

    Raises:
        StoreUnavailableError: it does not answer.
    """
    if index.whole():
        return False
    if isinstance(index, HeldIndex):
        index.hold(keys, vectors, packed)
        return True
    for first in range(0, len(keys), PAGE):
        index.put(keys[first : first + PAGE], vectors[first : first + PAGE])
    index.finish()
    return True


class Indexes:
    """The indexes that one world's sources ask, each opened once; of those with the same name, the last two.

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
                for older in [other for other in self._open if other.name == embedding.name][:-KEPT]:
                    self._open.pop(older).close()
            return self._open[embedding]

    def close(self) -> None:
        """Let go of all."""
        with self._lock:
            for index in self._open.values():
                index.close()
            self._open.clear()
