"""Pieces: a split's events by bucket of visitors, as they go from who reads them to who folds them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nearline.schema.event import Events, concat

GATHERED = 1 << 19
"""Events that are held before they are divided, at least: 50 MB."""
LARGEST = 1 << 13
"""Events of a piece, at most: less than 1 MB."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Events of one partition and one bucket, in the order of their offsets.

    Attributes:
        bucket: see `buckets_of`.
        events: `[n] EVENT`.
    """

    bucket: int
    events: Events


def buckets_of(visitors: NDArray[np.uint64], buckets: int) -> NDArray[np.int64]:
    """Return the bucket of each visitor's key, `[n] int64`; by other bits of it than those that choose a partition."""
    found: NDArray[np.int64] = ((visitors >> np.uint64(32)) % np.uint64(buckets)).astype(np.int64)
    return found


def pieces(batches: Iterable[Events], buckets: int, wanted: NDArray[np.bool_]) -> Iterator[Piece]:
    """Yield the events of visitors by bucket; pieces of a bucket come in order.

    Args:
        batches: `[n_i] EVENT`, in order.
        buckets: how many there are.
        wanted: by bucket, whether it is asked for, `[buckets] bool`.
    """
    held: list[Events] = []
    for batch in batches:
        held.append(batch)
        if sum(map(len, held)) >= GATHERED:
            yield from _divided(concat(held), buckets, wanted)
            held = []
    yield from _divided(concat(held), buckets, wanted)


def _divided(events: Events, buckets: int, wanted: NDArray[np.bool_]) -> Iterator[Piece]:
    place = buckets_of(events["user"], buckets)
    kept = np.flatnonzero((events["user"] != 0) & wanted[place])
    order = kept[np.argsort(place[kept].astype(np.int32), kind="stable")]
    ordered = place[order]
    cuts = [0, *(np.flatnonzero(np.diff(ordered)) + 1).tolist(), len(order)]
    for begin, end in pairwise(cuts):
        for first in range(begin, end, LARGEST):
            chosen = order[first : min(first + LARGEST, end)]
            yield Piece(int(ordered[first]), events[chosen])
