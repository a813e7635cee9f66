"""Scanning all items for those nearest to a vector: codes of 8 bits, a fourth of the memory to read."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32
from nearline.schema.kernel import f4, i1, i4, inline, kernel
from nearline.sources.tally import ROWS, keys_of
from nearline.sources.top import head

WIDTH = 64
"""Dimensions that are multiplied at a time; vectors are filled up to whole widths."""
Codes = NDArray[np.int8]


@inline
def _dot(codes: Codes, start: int, query: NDArray[np.int16], first: int) -> Any:
    """Return an exact integer sum; the fixed length and the casts to 32 bits let it be vectorised."""
    total = np.int32(0)
    own, asked = codes[start : start + WIDTH], query[first : first + WIDTH]
    for d in range(WIDTH):
        total = np.int32(total + np.int32(own[d]) * np.int32(asked[d]))
    return total


@inline
def scan(taste: F32, codes: Codes, scales: F32, near: F32) -> None:
    """Fill `near`, `[n] float32`, with the products of a vector and of n items'.

    Args:
        taste: whole widths long.
        codes, scales: see `quantised`.
    """
    # The query keeps 12 bits, so that the sum of a width fits 32.
    scale = max(np.abs(taste).max(), np.float32(1e-12)) / np.float32(2047.0)
    query = np.empty(len(taste), np.int16)
    for d in range(len(taste)):
        query[d] = np.int16(np.rint(taste[d] / scale))
    d = len(taste)
    if d == WIDTH:
        for i in range(len(scales)):
            near[i] = np.float32(_dot(codes, i * WIDTH, query, 0)) * (scales[i] * scale)
    else:
        for i in range(len(scales)):
            total = np.float32(0.0)
            for first in range(0, d, WIDTH):
                total += np.float32(_dot(codes, i * d + first, query, first))
            near[i] = total * (scales[i] * scale)


def quantised(vectors: F32) -> tuple[Codes, F32]:
    """Return codes, `[n * whole widths] int8`, and a scale per row, `[n] float32`, of `[n, d]`; a row of zeros has scale 0."""
    wide = np.zeros((len(vectors), -(-vectors.shape[1] // WIDTH) * WIDTH), np.float32)
    wide[:, : vectors.shape[1]] = vectors
    largest = np.abs(wide).max(axis=1, initial=0.0)
    scales = largest / np.float32(127.0)
    codes = np.rint(wide / np.maximum(scales, 1e-12)[:, None]).astype(np.int8)
    return codes.reshape(-1), scales.astype(np.float32)


@kernel(f4[:, ::1], f4[::1], i4[::1], f4[::1])
def products(vectors: F32, taste: F32, items: I32, out: F32) -> None:
    """Fill `out`, `[n] float32`, with products of a vector and of items' (rows of `vectors`, `[n_rows, d]`); -inf for others.

    Summed in one order, so that an item's does not depend on which others are asked about.
    """
    for i in range(len(items)):
        total = np.float32(-np.inf)
        if items[i] < len(vectors):
            total = np.float32(0.0)
            for d in range(vectors.shape[1]):
                total += vectors[items[i], d] * taste[d]
        out[i] = total


@kernel(f4[::1], i1[::1], f4[::1], i4[::1], f4[::1], i4[::1], i4[::1], f4[::1], i4[::1])
def nearest(
    taste: F32, codes: Codes, scales: F32, recent: I32, decay: F32, memory: I32, items: I32, scores: F32, because: I32
) -> int:
    """Write the items nearest to a vector, best first, with their products; return how many.

    Args:
        taste: whole widths long.
        codes, scales: by slot; what has scale 0 is no candidate.
        recent: slots of what it was made of, newest first; the nearest of them, weighed by `decay`, is the reason.
        memory: see `tally.scratch`.
        items, scores, because: filled.
    """
    n, room = len(scales), len(memory) // ROWS
    near = memory[9 * room : 9 * room + n].view(np.float32)
    scan(taste, codes, scales, near)
    # All above nothing, in the same order, since only such scores are sorted.
    least = np.float32(0.0)
    for i in range(n):
        least = min(least, near[i])
    least -= np.float32(1.0)
    for i in range(n):
        near[i] = near[i] - least if scales[i] > 0.0 else np.float32(0.0)
    reason, most = -1, np.float32(0.0)
    for j in range(len(recent)):
        if recent[j] < n and decay[j] * near[recent[j]] > most:
            reason, most = recent[j], decay[j] * near[recent[j]]
    keys, spare = keys_of(memory)
    found, count = head(near, len(items), keys, spare)
    for j in range(count):
        slot = found[j] & np.uint64(0xFFFFFFFF)
        items[j], scores[j], because[j] = slot, near[slot] + least, reason
    return int(count)
