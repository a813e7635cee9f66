"""The best k of many scores: a threshold guessed from a sample, then a sort of the few above it."""

from __future__ import annotations

import numpy as np

from nearline.schema.candidates import F32, I32
from nearline.schema.kernel import f4, i4, i8, kernel

SAMPLE = 512


@kernel(f4[::1], i8, i4[::1])
def top(scores: F32, k: int, out: I32) -> int:
    """Write the places of the k greatest positive scores into `out`, best first; equal ones in order of place.

    Args:
        scores: `[n] float32`; those not above 0 (and NaN) are left out.
        k: how many at most.
        out: `[>= k] int32`.

    Returns:
        How many were written.
    """
    n = len(scores)
    threshold = np.float32(0.0)
    if 4 * k < n:
        step = max(1, n // SAMPLE)
        size = (n + step - 1) // step
        sample = np.empty(size, np.float32)
        for j in range(size):
            sample[j] = scores[j * step]
        sample.sort()
        # Some slack, so that the guess rarely leaves fewer than k; where it does, all positive scores are sorted.
        place = int(size * (1.0 - 1.35 * k / n)) - 3
        if place >= 0 and sample[place] > 0.0:
            threshold = sample[place]
    places = np.empty(n, np.int32)
    count = 0
    for i in range(n):
        if scores[i] >= threshold and scores[i] > 0.0:
            places[count] = i
            count += 1
    if count < k and threshold > 0.0:
        count = 0
        for i in range(n):
            if scores[i] > 0.0:
                places[count] = i
                count += 1
    negative = np.empty(count, np.float32)
    for j in range(count):
        negative[j] = -scores[places[j]]
    order = np.argsort(negative, kind="mergesort")
    found = min(k, count)
    for j in range(found):
        out[j] = places[order[j]]
    return found


def best(scores: F32, k: int) -> I32:
    """Return the places of the k greatest positive scores, best first, `[<= k] int32`."""
    out = np.empty(k, np.int32)
    return out[: top(scores, k, out)]
