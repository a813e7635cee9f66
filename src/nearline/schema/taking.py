"""Taking: candidates at places, in one compiled call."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32, Candidates
from nearline.schema.kernel import b1, f4, i4, kernel


@kernel(i4[::1], f4[:, ::1], f4[:, ::1], i4[::1], i4[::1], i4[::1], i4[::1], f4[:, ::1], f4[:, ::1], i4[::1], i4[::1])
def _take(
    items: I32,
    retrieval: F32,
    ranks: F32,
    source: I32,
    because: I32,
    places: I32,
    to_items: I32,
    to_retrieval: F32,
    to_ranks: F32,
    to_source: I32,
    to_because: I32,
) -> int:
    """Copy what is at places; return how many could be: one that is out of range ends it."""
    for i in range(len(places)):
        place = places[i]
        if place < 0 or place >= len(items):
            return i
        to_items[i] = items[place]
        to_source[i] = source[place]
        to_because[i] = because[place]
        for s in range(retrieval.shape[1]):
            to_retrieval[i, s] = retrieval[place, s]
            to_ranks[i, s] = ranks[place, s]
    return len(places)


@kernel(i4[::1], b1[::1], b1[::1], i4[::1])
def _left(items: I32, keep: NDArray[np.bool_], available: NDArray[np.bool_], places: I32) -> int:
    n = 0
    for i in range(len(items)):
        places[n] = i
        n += keep[i] and available[items[i]]
    return n


def take(candidates: Candidates, places: NDArray[np.intp] | I32 | NDArray[np.bool_]) -> Candidates:
    """Return the candidates at places, or where a mask is true, in that order.

    Raises:
        IndexError: a place is none of theirs.
    """
    c = candidates
    at = (np.flatnonzero(places) if places.dtype == np.bool_ else places).astype(np.int32, copy=False)
    n, width = len(at), c.retrieval.shape[1]
    retrieval, ranks = np.empty((n, width), np.float32), np.empty((n, width), np.float32)
    taken = Candidates(np.empty(n, np.int32), retrieval, ranks, np.empty(n, np.int32), np.empty(n, np.int32))
    copied = _take(
        c.items,
        c.retrieval,
        c.ranks,
        c.source,
        c.because,
        np.ascontiguousarray(at),
        taken.items,
        retrieval,
        ranks,
        taken.source,
        taken.because,
    )
    if copied < n:
        raise IndexError(f"place {at[copied]} of {len(c.items)} candidates")
    return taken


def left(items: I32, keep: NDArray[np.bool_], available: NDArray[np.bool_]) -> I32:
    """Return the places of items to keep (`[n] bool`) that are available (`[n_slots] bool`), in order."""
    places = np.empty(len(items) + 1, np.int32)
    return places[: _left(items, np.ascontiguousarray(keep), available, places)]
