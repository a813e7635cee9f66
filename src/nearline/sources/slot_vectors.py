"""Item vectors by slot: those that a release has, and for what came since, those that their attributes give."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.models.item_tower import buckets_of, said
from nearline.schema.candidates import F32, I32
from nearline.schema.components import Arrays, World
from nearline.schema.kernel import f4, i4, kernel
from nearline.sources.item_words import item_tokens


class SlotVectors(NamedTuple):
    """Vectors of a process's items.

    Attributes:
        vectors: by slot, zeros where nothing is known, `[n_slots, d] float32`.
        known: which slots have a vector, `[n_slots] bool`.
        new: slots of items that the release has no vector of, `[m] int64`.
    """

    vectors: F32
    known: NDArray[np.bool_]
    new: NDArray[np.int64]


def slot_vectors(world: World, arrays: Arrays) -> SlotVectors:
    """Return the vectors of a world's items.

    Args:
        arrays: `keys [n] uint64`, `vectors [n, d] float32` and `table [n_buckets, d] float32`.
    """
    n = world.n_items
    slots = world.item_slots(arrays["keys"])
    known = (slots >= 0) & (slots < n)
    vectors = np.zeros((n, arrays["vectors"].shape[1]), np.float32)
    vectors[slots[known]] = arrays["vectors"][known]
    there = np.zeros(n, np.bool_)
    there[slots[known]] = True
    new = np.flatnonzero(~there & world.columns.available[:n])
    if len(new):
        vectors[new] = said(arrays["table"], buckets_of(item_tokens(world, new), len(arrays["table"])))
    known = np.asarray(vectors.any(axis=1), np.bool_)
    return SlotVectors(vectors, known, new[known[new]])


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
