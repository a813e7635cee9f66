"""The best k of many scores: a threshold guessed from a sample, then a radix sort of the few above it.

`head` is what kernels call on their own scores; `best` does the same for an array.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32
from nearline.schema.kernel import f4, i4, i8, inline, kernel, u8

SAMPLE = 512
_BINS = 2048
"""Exponent and three bits of mantissa: positive floats sort as their bits do."""
Keys = NDArray[np.uint64]


@inline
def _threshold(bits: NDArray[np.uint32], k: int) -> Any:
    """Return bits that a few more than k scores reach, if the sample does not mislead; 1 for all positive ones."""
    n = len(bits)
    threshold = np.uint32(1)
    if 4 * k < n:
        counts = np.zeros(_BINS, np.int32)
        step = max(1, n // SAMPLE)
        size = 0
        for j in range(0, n, step):
            size += 1
            if bits[j] <= np.uint32(0x7F800000):
                counts[bits[j] >> np.uint32(20)] += 1
        # Some slack, so that the guess rarely leaves fewer than k; where it does, all positive scores are taken.
        wanted = size * 1.35 * k / n + 3
        found = 0
        for place in range(_BINS - 1, 0, -1):
            found += counts[place]
            if found >= wanted:
                threshold = np.uint32(place) << np.uint32(20)
                break
    return threshold


@inline
def _sorted(keys: Keys, spare: Keys, n: int) -> Any:
    """Return the first n keys in ascending order of their upper half, equal ones as they came; in one array or the other."""
    counts = np.zeros((4, 256), np.uint32)
    for i in range(n):
        for digit in range(4):
            counts[digit, (keys[i] >> np.uint64(32 + 8 * digit)) & np.uint64(255)] += 1
    for digit in range(4):
        shift = np.uint64(32 + 8 * digit)
        count = counts[digit]
        if n == 0 or count[(keys[0] >> shift) & np.uint64(255)] == n:
            continue
        before = np.uint32(0)
        for value in range(256):
            here = count[value]
            count[value] = before
            before += here
        for i in range(n):
            value = (keys[i] >> shift) & np.uint64(255)
            spare[count[value]] = keys[i]
            count[value] += 1
        keys, spare = spare, keys
    return keys


@inline
def head(scores: F32, k: int, keys: Keys, spare: Keys) -> Any:
    """Find the k greatest positive scores (not NaN), best first, equal ones in order of place.

    Args:
        scores: `[n] float32`, contiguous.
        k: how many at most.
        keys, spare: room for n each.

    Returns:
        Keys whose lower halves are the places, and how many there are.
    """
    bits = scores.view(np.uint32)
    infinite = np.uint32(0x7F800000)
    threshold = _threshold(bits, k)
    places = spare.view(np.uint32)
    one = np.uint64(1)
    while True:
        # Written always and kept where it counts: no branch to guess. Unsigned, so that no index is tested for its sign.
        width, count = np.uint32(infinite - threshold), np.uint64(0)
        for i in range(len(bits)):
            places[count] = i
            count += one if np.uint32(infinite - bits[i]) <= width else np.uint64(0)
        if count >= np.uint64(k) or threshold == 1:
            break
        threshold = np.uint32(1)
    found = int(count)
    for j in range(found):
        place = np.uint64(places[j])
        keys[j] = (np.uint64(infinite - bits[place]) << np.uint64(32)) | place
    return _sorted(keys, spare, found), min(found, k)


@kernel(f4[::1], i8, u8[::1], u8[::1], i4[::1])
def _best(scores: F32, k: int, keys: Keys, spare: Keys, out: I32) -> int:
    found, count = head(scores, k, keys, spare)
    for j in range(count):
        out[j] = found[j] & np.uint64(0xFFFFFFFF)
    return int(count)


def best(scores: F32, k: int) -> I32:
    """Return the places of the k greatest positive scores (not NaN), best first; equal ones in order of place.

    Args:
        scores: `[n] float32`, contiguous.
        k: how many at most.
    """
    n = len(scores)
    out = np.empty(min(n, k), np.int32)
    return out[: _best(scores, k, np.empty(n + 1, np.uint64), np.empty(n + 1, np.uint64), out)]
