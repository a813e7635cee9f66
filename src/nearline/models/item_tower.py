"""The item tower: a vector of each item's own, and the mean of what its attributes come to.

So an item that nobody touched yet has a vector from its attributes alone, and one that many touched is itself. Both parts are
trained together, with the own part of some items left out in each step, so that the attributes must speak for themselves.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nearline.schema.item_tokens import ItemTokens

MOST = 24
"""Tokens of an item at most, the first ones: category path, brand and tags come before words."""
F32 = NDArray[np.float32]
I32 = NDArray[np.int32]


def buckets_of(found: ItemTokens, buckets: int) -> I32:
    """Return the rows of the table that speak for each item, `[n, most] int32`; 0 stands for none."""
    n = len(found.offsets) - 1
    lengths = np.minimum(np.diff(found.offsets), MOST)
    out = np.zeros((n, max(1, int(lengths.max(initial=0)))), np.int32)
    for place in range(out.shape[1]):
        has = lengths > place
        tokens = found.tokens[found.offsets[:-1][has] + place].astype(np.uint64)
        out[has, place] = (tokens * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(32)) % np.uint64(buckets - 1) + np.uint64(1)
    return out


def said(table: F32, rows: I32) -> F32:
    """Return what attributes come to, `[n, d] float32`: the sum of the table's rows over the root of their number.

    Args:
        table: `[n_buckets, d] float32`.
        rows: see `buckets_of`.
    """
    out = np.zeros((len(rows), table.shape[1]), np.float32)
    for place in range(rows.shape[1]):
        here = rows[:, place] > 0
        out[here] += table[rows[here, place]]
    counts = np.maximum(1, (rows > 0).sum(axis=1)).astype(np.float32)
    return np.asarray(out / np.sqrt(counts)[:, None], np.float32)
