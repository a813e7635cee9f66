"""Item vectors by slot: those that a release has, and for what came since, those that their attributes give."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.models.item_tower import buckets_of, said
from nearline.schema.candidates import F32, I32
from nearline.schema.components import Arrays, World
from nearline.schema.kernel import f4, i4, inline, kernel
from nearline.sources.item_words import item_tokens

LINE = 16
"""Numbers in a line of memory."""


class SlotVectors(NamedTuple):
    """Vectors of a process's items.

    Attributes:
        vectors: by slot, zeros where nothing is known, `[n_slots, d] float32`.
        known: which slots have a vector, `[n_slots] bool`.
        new: slots of items that the release has no vector of, `[m] int64`.
        made: visitors' vectors made from these, `[d] float32` each, by what their histories are; with them they go.
    """

    vectors: F32
    known: NDArray[np.bool_]
    new: NDArray[np.int64]
    made: dict[bytes, F32]


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
    return SlotVectors(vectors, known, new[known[new]], {})


@inline
def product(vector: F32, other: F32) -> Any:
    """Return the product of two vectors, `[d] float32`: four sums side by side, since one waits for each of its additions."""
    a, b, c, d = np.float32(0.0), np.float32(0.0), np.float32(0.0), np.float32(0.0)
    width, at, four = np.uint64(len(other)), np.uint64(0), np.uint64(4)
    while at + four <= width:
        a += vector[at] * other[at]
        b += vector[at + np.uint64(1)] * other[at + np.uint64(1)]
        c += vector[at + np.uint64(2)] * other[at + np.uint64(2)]
        d += vector[at + np.uint64(3)] * other[at + np.uint64(3)]
        at += four
    while at < width:
        a += vector[at] * other[at]
        at += np.uint64(1)
    return (a + c) + (b + d)


@kernel(f4[:, ::1], f4[::1], i4[::1], f4[::1])
def products(vectors: F32, taste: F32, items: I32, out: F32) -> None:
    """Fill `out`, `[n] float32`, with products of a vector and of items' (rows of `vectors`, `[n_rows, d]`); -inf for others.

    Summed in one order, so that an item's does not depend on which others are asked about.
    """
    for begin in range(0, len(items), 32):
        end = min(len(items), begin + 32)
        # A first touch of each line of memory: so many wait together, not one after the other.
        for i in range(begin, end):
            touched = np.float32(-np.inf)
            if 0 <= items[i] < len(vectors):
                touched = np.float32(0.0)
                for d in range(0, len(taste), LINE):
                    touched += vectors[np.uint64(items[i]), d]
            out[i] = touched
        for i in range(begin, end):
            if 0 <= items[i] < len(vectors):
                out[i] = product(vectors[np.uint64(items[i])], taste)
