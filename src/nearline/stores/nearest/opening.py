"""Opening an index in this process, in as many shards as its URL says."""

from __future__ import annotations

from nearline.schema.errors import NearlineError
from nearline.schema.vectors import Embedding, HeldIndex
from nearline.stores.nearest.live import LiveIndex
from nearline.stores.nearest.shards import ShardedIndex
from nearline.stores.nearest.wanted import LIBRARY, installed, wanted
from nearline.stores.vector_index import VectorPlace


def opened(place: VectorPlace, embedding: Embedding) -> HeldIndex:
    """Return the index of an embedding, empty.

    Raises:
        NearlineError: the URL asks for what is not there, or not installed.
    """
    asked = wanted(place.url)
    library = LIBRARY.get(asked.index)
    if library is not None and not installed(library):
        raise NearlineError("storage.vectors", asked.index, f'it is not installed: pip install "nearline[{library}]"')
    if asked.shards == 1:
        return LiveIndex(embedding, asked)
    return ShardedIndex([LiveIndex(embedding, asked) for _ in range(asked.shards)], place.timeout)
