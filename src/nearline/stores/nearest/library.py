"""Libraries of indexes, one file each, by the kind of index that is wanted; none is imported before it is."""

from __future__ import annotations

from typing import Protocol

from nearline.schema.vectors import Packed, Vectors
from nearline.stores.nearest.segment import Segment
from nearline.stores.nearest.wanted import LIBRARY


class Library(Protocol):
    """What makes segments."""

    def of(self, kind: str, vectors: Vectors, nprobe: int) -> Segment:
        """Build one of vectors, `[n, d] float32`."""
        ...

    def read(self, body: Packed, nprobe: int) -> Segment:
        """Return what a segment's `packed` returned.

        Raises:
            NearlineError: the library of today can't read it.
        """
        ...


def library(kind: str) -> Library:
    """Return what makes segments of a kind."""
    if LIBRARY[kind] == "scann":
        from nearline.stores.nearest.by_scann import ScannSegment

        return ScannSegment
    from nearline.stores.nearest.by_faiss import FaissSegment

    return FaissSegment
