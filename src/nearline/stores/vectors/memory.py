"""Vectors in this process: scanned, or in an index of ScaNN or FAISS where there are many."""

from __future__ import annotations

from nearline.schema.vectors import Embedding, VectorIndex
from nearline.stores.nearest.opening import opened
from nearline.stores.vector_index import VectorPlace


def open_index(place: VectorPlace, embedding: Embedding) -> VectorIndex:
    """Return the index of an embedding, empty.

    Raises:
        NearlineError: the URL asks for what is not there.
    """
    return opened(place, embedding)
