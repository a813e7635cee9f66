"""The best k of many scores, in one pass."""

from __future__ import annotations

import numpy as np

from nearline.schema.candidates import F32, I32
from nearline.schema.kernel import f4, i4, i8, inline, kernel


@inline
def _worse(scores: F32, a: int, b: int) -> bool:
    """Whether place a ranks below place b: lower score, or the same and later."""
    return scores[a] < scores[b] or (scores[a] == scores[b] and a > b)


@inline
def _sift(scores: F32, heap: I32, size: int) -> None:
    parent = 0
    while True:
        child = 2 * parent + 1
        if child >= size:
            break
        if child + 1 < size and _worse(scores, heap[child + 1], heap[child]):
            child += 1
        if not _worse(scores, heap[child], heap[parent]):
            break
        heap[child], heap[parent] = heap[parent], heap[child]
        parent = child


@kernel(f4[::1], i8, i4[::1])
def top(scores: F32, k: int, out: I32) -> int:
    """Write the places of the k greatest positive scores into `out`, best first; equal ones in order of place.

    A bounded heap: O(n + k log k log(n / k)).

    Args:
        scores: `[n] float32`; those not above 0 (and NaN) are left out.
        k: how many at most.
        out: `[>= k] int32`.

    Returns:
        How many were written.
    """
    size = 0
    for i in range(len(scores)):
        if not scores[i] > 0.0:
            continue
        if size < k:
            child = size
            size += 1
            out[child] = i
            while child > 0:
                parent = (child - 1) // 2
                if not _worse(scores, out[child], out[parent]):
                    break
                out[child], out[parent] = out[parent], out[child]
                child = parent
        elif k > 0 and scores[i] > scores[out[0]]:
            out[0] = i
            _sift(scores, out, size)
    for end in range(size - 1, 0, -1):
        out[0], out[end] = out[end], out[0]
        _sift(scores, out, end)
    return size


def best(scores: F32, k: int) -> I32:
    """Return the places of the k greatest positive scores, best first, `[<= k] int32`."""
    out = np.empty(k, np.int32)
    return out[: top(scores, k, out)]
