"""Item vectors by slot: those that a release has, and for what came since, those that their attributes give."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.models.item_tower import buckets_of, said
from nearline.schema.candidates import F32
from nearline.schema.components import Arrays, World
from nearline.sources.item_words import item_tokens
from nearline.sources.scan import Codes, quantised


class SlotVectors(NamedTuple):
    """Vectors of a process's items.

    Attributes:
        vectors: by slot, zeros where nothing is known, `[n_slots, d] float32`.
        codes, scales: the same for `scan.nearest`.
        known: which slots have a vector, `[n_slots] bool`.
        new: slots of items that the release has no vector of, `[m] int64`.
    """

    vectors: F32
    codes: Codes
    scales: F32
    known: NDArray[np.bool_]
    new: NDArray[np.int64]


def slot_vectors(world: World, arrays: Arrays, scanned: bool) -> SlotVectors:
    """Return the vectors of a world's items.

    Args:
        arrays: `keys [n] uint64`, `vectors [n, d] float32` and `table [n_buckets, d] float32`.
        scanned: whether memory is searched; else there are no codes.
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
    codes, scales = quantised(vectors if scanned else vectors[:0])
    return SlotVectors(vectors, codes, scales, np.asarray(vectors.any(axis=1), np.bool_), new)
