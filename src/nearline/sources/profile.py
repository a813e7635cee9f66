"""Profiles: what a few items say together, as weighted tokens, and the postings that are asked with them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32
from nearline.schema.kernel import inline


@inline
def gather(
    recent: I32, decay: F32, offsets: NDArray[np.int64], tokens: I32, weights: F32, asked: I32, newest: I32, profile: F32
) -> int:
    """Add the tokens of items up; return how many different ones there are.

    Args:
        recent: slots, newest first; one beyond the index says nothing.
        decay: weight of each, `[at least n_recent]`.
        offsets, tokens, weights: tokens of every slot and what each says there, as rows of a sparse matrix.
        asked, newest, profile: filled with the tokens, the newest place in `recent` that has each, and the sums; tokens
            for which there is no more room are left out.
    """
    n = 0
    for j in range(len(recent)):
        if recent[j] + 1 >= len(offsets):
            continue
        for p in range(offsets[recent[j]], offsets[recent[j] + 1]):
            place = 0
            while place < n and asked[place] != tokens[p]:
                place += 1
            if place == len(asked):
                continue
            if place == n:
                asked[place], newest[place], profile[place] = tokens[p], j, 0.0
                n += 1
            profile[place] += decay[j] * weights[p]
    return n


def posted(tokens: NDArray[np.int64], order: NDArray[np.int64], depth: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first few places of each token, and where each token's begin.

    Args:
        tokens: number of each place's token, `[n]`.
        order: places sorted by token, within each the best first, `[n]`.
        depth: places kept per token.
    """
    counts = np.bincount(tokens)
    begins = np.cumsum(counts) - counts
    kept = order[np.arange(len(order)) - begins[tokens[order]] < depth]
    return kept, np.concatenate(([0], np.cumsum(np.minimum(counts, depth)))).astype(np.int64)
