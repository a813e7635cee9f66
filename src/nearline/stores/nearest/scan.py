"""The scan: all vectors as codes of 8 bits, in the principal dimensions that hold most of their energy."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32
from nearline.schema.kernel import f4, i1, i8, inline, kernel, u8
from nearline.schema.top import Keys, head
from nearline.schema.vectors import Vectors
from nearline.stores.nearest.segment import NOTHING_FOUND, Found, Rows

BLOCK = 64
"""Dimensions that are summed at once; a fixed length, so that it is vectorised."""
ENERGY = 0.95
"""Share of the vectors' energy that the dimensions scanned hold at least."""
SAMPLE = 100_000
"""Vectors from which the principal dimensions are found."""
FEW = 8
"""Vectors for each dimension from which some dimensions may be left out."""
PAGE = 65_536
"""Vectors that are quantised at once."""
Codes = NDArray[np.int8]
SIGN = np.uint32(0x80000000)
_kept = threading.local()


@inline
def _dot(codes: Codes, first: int, query: NDArray[np.int16], size: int) -> Any:
    """Return an exact integer sum over a size that is written where it is called; the casts to 32 bits let it be vectorised."""
    total = np.int32(0)
    own = codes[first : first + size]
    for d in range(size):
        total = np.int32(total + np.int32(own[d]) * np.int32(query[d]))
    return total


@kernel(i1[::1], f4[::1], f4[::1], f4[::1], u8[::1], u8[::1], i8[::1], f4[::1])
def _scan(codes: Codes, scales: F32, query: F32, near: F32, keys: Keys, spare: Keys, rows: Rows, scores: F32) -> None:
    """Write the rows with the greatest products, best first, equal ones in order of row, as many as there is room for.

    Args:
        near: room for all products.
        keys, spare: room for one more than that.
    """
    # Codes of 8 bits: a fourth of the memory to read; the query keeps 12 bits, so that the sum fits 32.
    scale = max(np.abs(query).max(), np.float32(1e-12)) / np.float32(2047.0)
    whole = np.empty(len(query), np.int16)
    for d in range(len(query)):
        whole[d] = np.int16(np.rint(query[d] / scale))
    n, width, bits = len(scales), len(query), near.view(np.uint32)
    if width == BLOCK:
        for i in range(n):
            near[i] = np.float32(_dot(codes, i * BLOCK, whole, BLOCK)) * (scales[i] * scale)
    elif width == 2 * BLOCK:
        for i in range(n):
            near[i] = np.float32(_dot(codes, 2 * i * BLOCK, whole, 2 * BLOCK)) * (scales[i] * scale)
    else:
        for i in range(n):
            total = np.int32(0)
            for d in range(0, width, BLOCK):
                total = np.int32(total + _dot(codes, i * width + d, whole[d : d + BLOCK], BLOCK))
            near[i] = np.float32(total) * (scales[i] * scale)
    # `head` wants positive numbers: those whose bits are half of what sorts as the products do.
    for i in range(n):
        own = bits[i]
        bits[i] = (~own if own & SIGN else own | SIGN) >> np.uint32(1)
    best, count = head(near, len(rows), keys, spare)
    for j in range(count):
        rows[j] = np.int64(best[j] & np.uint64(0xFFFFFFFF))
        half = bits[rows[j]] << np.uint32(1)
        bits[rows[j]] = half & ~SIGN if half & SIGN else ~half
        scores[j] = near[rows[j]]


def _room(n: int) -> tuple[F32, Keys, Keys]:
    """Return this thread's memory for a scan of n vectors."""
    found: tuple[F32, Keys, Keys] | None = getattr(_kept, "room", None)
    if found is None or len(found[0]) < n:
        more = n + n // 2 + 64
        found = _kept.room = np.empty(more, np.float32), np.empty(more + 1, np.uint64), np.empty(more + 1, np.uint64)
    return found


class Scan:
    """A segment that is looked at whole. Where few dimensions hold the energy, only those are read.

    Args:
        turn: from a vector to the dimensions scanned, `[width, d] float32`.
        codes: `[n * width] int8`.
        scales: of the codes, `[n] float32`.
    """

    def __init__(self, turn: F32, codes: Codes, scales: F32) -> None:
        self._turn, self._codes, self._scales = turn, codes, scales

    @staticmethod
    def of(vectors: Vectors) -> Scan:
        """Return the scan of vectors, `[n, d] float32`."""
        plain = Scan.blank(vectors.shape[1])
        # What a few vectors have little of, others may have more of.
        few = len(vectors) < FEW * vectors.shape[1]
        return (plain if few else Scan(_turn(vectors), plain._codes, plain._scales)).grown(vectors)

    @staticmethod
    def blank(dimensions: int) -> Scan:
        """Return one without vectors, for all dimensions."""
        turn = np.eye(-(-dimensions // BLOCK) * BLOCK, dimensions, dtype=np.float32)
        return Scan(turn, np.empty(0, np.int8), np.empty(0, np.float32))

    def grown(self, vectors: Vectors) -> Scan:
        """Return one with vectors (`[n, d] float32`) behind those of this one."""
        codes, scales = [self._codes], [self._scales]
        for first in range(0, len(vectors), PAGE):
            turned = vectors[first : first + PAGE] @ self._turn.T
            scales.append(np.maximum(np.abs(turned).max(axis=1), 1e-12).astype(np.float32) / 127.0)
            codes.append(np.rint(turned / scales[-1][:, None]).astype(np.int8).reshape(-1))
        return Scan(self._turn, np.concatenate(codes), np.concatenate(scales))

    def search(self, query: Vectors, limit: int) -> Found:
        """Return the rows nearest to a query (`[d] float32`), best first."""
        limit = min(limit, len(self._scales))
        if limit < 1:
            return NOTHING_FOUND
        rows, scores = np.empty(limit, np.int64), np.empty(limit, np.float32)
        near, keys, spare = _room(len(self._scales))
        _scan(self._codes, self._scales, self._turn @ query, near[: len(self._scales)], keys, spare, rows, scores)
        return rows, scores

    def __len__(self) -> int:
        """Return how many vectors are in it."""
        return len(self._scales)

    @property
    def whole(self) -> bool:
        """Whether it reads all dimensions, so that vectors of any direction may be added."""
        return bool(self._turn.shape[0] >= self._turn.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes that a search reads."""
        return self._codes.nbytes + self._scales.nbytes


def _turn(vectors: Vectors) -> F32:
    """Return the axes to scan along, `[width, d] float32`, those with the most energy first, 0 behind the last."""
    some = vectors[:: max(1, len(vectors) // SAMPLE)]
    energy, axes = np.linalg.eigh(some.T @ some)
    held = np.cumsum(energy[::-1].clip(min=0))
    most = int(np.searchsorted(held, ENERGY * held[-1])) + 1 if len(held) and held[-1] > 0 else 1
    width = -(-most // BLOCK) * BLOCK
    turn = np.zeros((width, vectors.shape[1]), np.float32)
    turn[: axes.shape[1]] = axes[:, ::-1].T[:width]
    return turn
