"""Taking: candidates at places, in one compiled call."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32, Said
from nearline.schema.kernel import b1, f4, i4, kernel

_NONE = np.empty(0, np.int32)


@kernel(i4[::1], i4[::1], i4[::1], i4[:, ::1])
def _take(items: I32, own: I32, places: I32, out: I32) -> int:
    """Copy what is at places of both; return how many could be: one that is out of range ends it."""
    for i in range(len(places)):
        place = places[i]
        if place < 0 or place >= len(items):
            return i
        out[0, i] = items[place]
        out[1, i] = own[place] if len(own) else place
    return len(places)


@kernel(f4[:, ::1], f4[:, ::1], i4[::1], i4[::1], i4[::1], f4[:, ::1], f4[:, ::1], i4[::1], i4[::1])
def _copy(
    retrieval: F32,
    ranks: F32,
    source: I32,
    because: I32,
    places: I32,
    to_retrieval: F32,
    to_ranks: F32,
    to_source: I32,
    to_because: I32,
) -> None:
    for i in range(len(places)):
        place = places[i]
        to_source[i] = source[place]
        to_because[i] = because[place]
        for s in range(retrieval.shape[1]):
            to_retrieval[i, s] = retrieval[place, s]
            to_ranks[i, s] = ranks[place, s]


@kernel(i4[::1], b1[::1], b1[::1], i4[::1])
def _left(items: I32, keep: NDArray[np.bool_], available: NDArray[np.bool_], places: I32) -> int:
    n = 0
    for i in range(len(items)):
        places[n] = i
        n += keep[i] and available[items[i]]
    return n


@kernel(i4[::1], i4[::1], i4[::1], i4[::1])
def _absent(items: I32, places: I32, listed: I32, out: I32) -> int:
    """Write the places whose items are not listed; return how many."""
    size = 16
    while size < 2 * len(listed):
        size *= 2
    # Slots by the bits of their product with 2**32 over the golden ratio (Knuth, volume 3, 6.4); the next free one holds it.
    seen = np.full(size, -1, np.int32)
    mask = np.int64(size - 1)
    for item in listed:
        here = ((np.int64(item) * 2654435769) >> 12) & mask
        while seen[here] >= 0 and seen[here] != item:
            here = (here + 1) & mask
        seen[here] = item
    n = 0
    for place in places:
        here = ((np.int64(items[place]) * 2654435769) >> 12) & mask
        while seen[here] >= 0 and seen[here] != items[place]:
            here = (here + 1) & mask
        if seen[here] < 0:
            out[n] = place
            n += 1
    return n


def taken(items: I32, own: I32 | None, places: NDArray[np.intp] | I32 | NDArray[np.bool_]) -> I32:
    """Return the items, and their own places, at places (or where a mask is true), in that order, `[2, n] int32`.

    Args:
        own: `None` where they are in their own order.

    Raises:
        IndexError: there is no such place.
    """
    places = np.ascontiguousarray(np.flatnonzero(places) if places.dtype == np.bool_ else places, np.int32)
    out = np.empty((2, len(places)), np.int32)
    if (n := _take(items, _NONE if own is None else own, places, out)) < len(places):
        raise IndexError(f"place {places[n]} of {len(items)} candidates")
    return out


def copied(retrieval: F32, ranks: F32, source: I32, because: I32, fusion: F32, places: I32) -> Said:
    """Return what sources said of the candidates at places, which are theirs."""
    n, width = len(places), retrieval.shape[1]
    out = (np.empty((n, width), np.float32), np.empty((n, width), np.float32), np.empty(n, np.int32), np.empty(n, np.int32))
    _copy(retrieval, ranks, source, because, places, *out)
    return *out, fusion.take(places)


def left(items: I32, keep: NDArray[np.bool_], available: NDArray[np.bool_]) -> I32:
    """Return the places of items to keep (`[n] bool`) that are available (`[n_slots] bool`), in order."""
    places = np.empty(len(items) + 1, np.int32)
    return places[: _left(items, np.ascontiguousarray(keep), available, places)]


def absent(items: I32, places: I32, listed: I32) -> I32:
    """Return those of some places whose items are not listed, in order, `[m] int32`.

    Args:
        items: slots, `[n] int32`.
        places: into them, `[k] int32`.
        listed: slots, `[l] int32`.
    """
    out = np.empty(len(places), np.int32)
    return out[: _absent(items, np.ascontiguousarray(places, np.int32), np.ascontiguousarray(listed), out)]
