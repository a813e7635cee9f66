"""Order: scores become places, best first, by one stable radix sort; equal scores keep their order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.pipeline.merge import DAMPING
from nearline.schema.candidates import F32, I32
from nearline.schema.kernel import f4, i4, i8, inline, kernel
from nearline.schema.top import best

_DIGIT = 11
_VALUES = 1 << _DIGIT
SUNK = np.float32(-1e30)
"""What a score that is not finite becomes: it sinks and never reaches a client."""


@inline
def _sort(scores: Any, order: Any) -> None:
    """Write places by falling score; three passes over digits of eleven bits, so its time is linear."""
    n = len(scores)
    keys, spare_keys, spare = np.empty(n, np.uint32), np.empty(n, np.uint32), np.empty(n, np.int32)
    counts = np.zeros((3, _VALUES), np.int32)
    bits = scores.view(np.uint32)
    for i in range(n):
        # As unsigned numbers, these grow as the scores fall. Adding zero makes -0.0 the same as 0.0.
        own = bits[i] if bits[i] != np.uint32(0x80000000) else np.uint32(0)
        key = own if own >> np.uint32(31) else np.uint32(0x7FFFFFFF) - own
        keys[i] = key
        order[i] = i
        counts[0, key & np.uint32(_VALUES - 1)] += 1
        counts[1, (key >> np.uint32(_DIGIT)) & np.uint32(_VALUES - 1)] += 1
        counts[2, key >> np.uint32(2 * _DIGIT)] += 1
    for turn in range(3):
        count = counts[turn]
        start = np.int32(0)
        for value in range(_VALUES):
            here = count[value]
            count[value] = start
            start += here
        shift = np.uint32(turn * _DIGIT)
        for i in range(n):
            digit = (keys[i] >> shift) & np.uint32(_VALUES - 1)
            place = count[digit]
            count[digit] = place + 1
            spare_keys[place] = keys[i]
            spare[place] = order[i]
        keys, spare_keys = spare_keys, keys
        for i in range(n):
            order[i] = spare[i]


@kernel(f4[:, ::1], f4[::1], f4[::1], i4[::1])
def _combine(outcomes: F32, weights: F32, scores: F32, order: I32) -> int:
    """Write the weighted sums and their order; return how many are finite."""
    n = outcomes.shape[1]
    scores[:] = 0.0
    for o in range(len(weights)):
        for i in range(n):
            scores[i] += weights[o] * outcomes[o, i]
    finite = 0
    for i in range(n):
        if np.isfinite(scores[i]):
            finite += 1
        else:
            scores[i] = SUNK
    _sort(scores, order)
    return finite


@kernel(f4[::1], i4[::1])
def _order(scores: F32, order: I32) -> None:
    _sort(scores, order)


@kernel(i4[::1], i8)
def _upwards(places: I32, most: int) -> None:
    """Sort different places below `most` in place."""
    chosen = np.zeros(most, np.uint8)
    for place in places:
        chosen[place] = 1
    n = 0
    for place in range(most):
        if chosen[place]:
            places[n] = place
            n += 1


def combined(outcomes: F32, weights: F32) -> tuple[F32, I32, int]:
    """Return weighted sums `[n] float32`, their order `[n] int32`, best first, and how many are finite.

    Args:
        outcomes: probabilities, `[n_outcomes, n] float32`.
        weights: `[n_outcomes] float32`.
    """
    n = outcomes.shape[1]
    scores, order = np.empty(n, np.float32), np.empty(n, np.int32)
    return scores, order, _combine(np.ascontiguousarray(outcomes, np.float32), weights, scores, order)


def ordered(scores: F32) -> I32:
    """Return the places of finite scores, best first, `[n] int32`."""
    order = np.empty(len(scores), np.int32)
    _order(scores, order)
    return order


def fusion_parts(ranks: F32) -> F32:
    """Return each source's share of the reciprocal rank fusion that finds an item, rows of sum 1 (or 0), `[n, n_sources]`.

    Args:
        ranks: as for `fused`.
    """
    parts: F32 = ranks / (1.0 + DAMPING * ranks)
    parts /= np.maximum(parts.sum(axis=1, keepdims=True), np.float32(1e-12))
    return parts


def head(fusion: F32, n: int) -> NDArray[np.int32]:
    """Return the `n` best places by reciprocal rank fusion (positive), in their present order, `[n] int32`."""
    places = best(fusion, n)
    _upwards(places, len(fusion))
    return places
