"""The best k of many scores: a threshold guessed from a sample, then a sort of the few above it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32
from nearline.schema.kernel import i8, kernel, u4, u8

SAMPLE = 512
_BINS = 2048
"""Exponent and three bits of mantissa: positive floats sort as their bits do."""


@kernel(u4[::1], i8, u8[::1])
def _above(bits: NDArray[np.uint32], k: int, keys: NDArray[np.uint64]) -> int:
    """Write a sort key for each positive score that may be among the best k; return how many.

    The key is the inverted score, then the place: the smallest key is the best score, equal ones in order of place.
    """
    n = len(bits)
    infinite = np.uint32(0x7F800000)
    threshold = np.uint32(1)
    if 4 * k < n:
        counts = np.zeros(_BINS, np.int32)
        step = max(1, n // SAMPLE)
        size = 0
        for j in range(0, n, step):
            size += 1
            if bits[j] <= infinite:
                counts[bits[j] >> np.uint32(20)] += 1
        # Some slack, so that the guess rarely leaves fewer than k; where it does, all positive scores are taken.
        wanted = size * 1.35 * k / n + 3
        found = 0
        for place in range(_BINS - 1, 0, -1):
            found += counts[place]
            if found >= wanted:
                threshold = np.uint32(place) << np.uint32(20)
                break
    for _ in range(2):
        count = 0
        for i in range(n):
            if threshold <= bits[i] <= infinite:
                keys[count] = (np.uint64(infinite - bits[i]) << np.uint64(32)) | np.uint64(i)
                count += 1
        if count >= k or threshold == 1:
            break
        threshold = np.uint32(1)
    return count


def best(scores: F32, k: int) -> I32:
    """Return the places of the k greatest positive scores (not NaN), best first; equal ones in order of place.

    Args:
        scores: `[n] float32`, contiguous.
        k: how many at most.
    """
    keys = np.empty(len(scores), np.uint64)
    keys = keys[: _above(scores.view(np.uint32), k, keys)]
    if len(keys) > 2 * k:
        keys = np.partition(keys, k)[:k]
    keys.sort()
    return (keys[:k] & np.uint64(0xFFFFFFFF)).astype(np.int32)
