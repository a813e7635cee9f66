"""Merging: what the sources returned becomes one de-duplicated set of candidates."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32, Candidates, Retrieved
from nearline.schema.kernel import f4, i4, i8, kernel

DAMPING = 60.0
"""Of reciprocal rank fusion: a rank counts 1 / (60 + rank) (Cormack et al. 2009)."""


@kernel(i4[::1], f4[::1], i4[::1], i8[::1], i4[::1], i4[::1], f4[:, ::1], f4[:, ::1], i4[::1], i4[::1], f4[::1])
def _merge(
    items: I32,
    scores: F32,
    because: I32,
    ends: NDArray[np.int64],
    place_of: I32,
    merged: I32,
    retrieval: F32,
    ranks: F32,
    source: I32,
    reason: I32,
    fusion: F32,
) -> int:
    """Return the number of different items; `place_of` is -1 before and after."""
    n = 0
    start = 0
    for s in range(len(ends)):
        for j in range(start, ends[s]):
            item = items[j]
            if item < 0 or item >= len(place_of):
                continue
            place = place_of[item]
            if place < 0:
                if n == len(merged):
                    continue
                place = n
                place_of[item] = place
                merged[place] = item
                source[place] = -1
                fusion[place] = 0.0
                n += 1
            rank = np.float32(1.0) / np.float32(j - start + 1)
            retrieval[place, s] = scores[j]
            ranks[place, s] = rank
            fusion[place] += rank / (np.float32(1.0) + np.float32(DAMPING) * rank)
            if source[place] < 0 or rank > ranks[place, source[place]]:
                source[place] = s
                reason[place] = because[j]
        start = ends[s]
    for i in range(n):
        place_of[merged[i]] = -1
    return n


_scratch = threading.local()


def merge(retrieved: Sequence[Retrieved], n_items: int, limit: int) -> Candidates:
    """Return the different items of all sources, at most `limit`.

    Where there are more, each source gives way in order of its own ranking: the deepest ranks go first.

    Args:
        retrieved: one per source, in the application's order.
        n_items: number of item slots.
        limit: candidates at most.
    """
    total = sum(len(r.items) for r in retrieved)
    if total > 2 * limit:
        retrieved = [_head(r, max(1, len(r.items) * 2 * limit // total)) for r in retrieved]
        total = sum(len(r.items) for r in retrieved)
    if getattr(_scratch, "size", 0) < n_items:
        _scratch.size = n_items + n_items // 2
        _scratch.place_of = np.full(_scratch.size, -1, np.int32)
    room, width = min(total, limit), len(retrieved)
    merged, source, because = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room, np.int32)
    fusion = np.empty(room, np.float32)
    retrieval, ranks = np.zeros((room, width), np.float32), np.zeros((room, width), np.float32)
    if not total:
        return Candidates(merged, retrieval, ranks, source, because, fusion)
    n = _merge(
        np.concatenate([r.items for r in retrieved]),
        np.concatenate([r.scores for r in retrieved]),
        np.concatenate([r.because for r in retrieved]),
        np.array([len(r.items) for r in retrieved]).cumsum(),
        _scratch.place_of,
        merged,
        retrieval,
        ranks,
        source,
        because,
        fusion,
    )
    return Candidates(merged[:n], retrieval[:n], ranks[:n], source[:n], because[:n], fusion[:n])


def _head(r: Retrieved, n: int) -> Retrieved:
    return Retrieved(r.items[:n], r.scores[:n], r.because[:n])
