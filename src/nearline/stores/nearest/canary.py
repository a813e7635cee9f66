"""Canary queries: an index is asked for the neighbours of a sample of items, and compared with what all products say."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nearline.schema.vectors import NEAREST, Keys, VectorIndex, Vectors, Verdict

QUERIES = 256
"""Items asked about at most; fewer where there are so many vectors that all products would take long."""
PRODUCTS = 1_000_000_000
"""Products that may be computed for that."""
ENOUGH = 4
"""Queries of a category from which its recall says something."""
CATEGORIES = 48
"""Categories that get a share of the queries of their own, the largest ones."""
PAGE = 100_000
Numbers = NDArray[np.int64]


def asked(index: VectorIndex, keys: Keys, vectors: Vectors, categories: Numbers, seed: int = 7) -> Verdict:
    """Ask an index about a sample of its own items.

    Args:
        index: whole, and holding just these.
        keys: `[n] uint64`.
        vectors: `[n, d] float32`.
        categories: of the items, as any number each, `[n] int64`.

    Raises:
        StoreUnavailableError: it does not answer.
    """
    sample = _sample(categories, int(np.clip(PRODUCTS // max(1, len(keys)), 32, QUERIES)), seed)
    true = _exact(keys, vectors, vectors[sample])
    recall = np.ones(len(sample))
    missing: set[str] = set()
    for place, (row, wanted) in enumerate(zip(sample.tolist(), true, strict=True)):
        found, _ = index.nearest(vectors[row], len(wanted))
        missing.update(index.missing)
        recall[place] = np.isin(wanted, found).mean()
    worst, lowest = 1.0, 0
    for category in np.unique(categories[sample]).tolist():
        own = recall[categories[sample] == category]
        if len(own) >= ENOUGH and own.mean() < worst:
            worst, lowest = float(own.mean()), category
    mean = float(recall.mean()) if len(recall) else 1.0
    return Verdict(mean, worst, lowest, tuple(sorted(missing)), index.floor)


def _sample(categories: Numbers, most: int, seed: int) -> Numbers:
    """Return rows: some of each of the largest categories, and some of all."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(categories))[: 50 * most]
    names, counts = np.unique(categories[order], return_counts=True)
    largest = names[np.argsort(-counts)][: min(CATEGORIES, max(1, most // (2 * ENOUGH)))]
    chosen = [order[categories[order] == name][:ENOUGH] for name in largest]
    rows = np.concatenate([*chosen, order])
    _, firsts = np.unique(rows, return_index=True)
    return rows[np.sort(firsts)][:most]


def _exact(keys: Keys, vectors: Vectors, queries: Vectors) -> list[Keys]:
    """Return the true neighbours of each query."""
    kept = min(NEAREST, len(keys))
    best = np.full((len(queries), kept), -np.inf, np.float32)
    rows = np.zeros((len(queries), kept), np.int64)
    for first in range(0, len(vectors), PAGE):
        products = queries @ vectors[first : first + PAGE].T
        for place in range(len(queries)):
            # Only what passes the worst that is kept: most of a page does not.
            near = np.flatnonzero(products[place] > best[place].min())
            both = np.concatenate((best[place], products[place][near]))
            top = np.argpartition(-both, kept - 1)[:kept]
            best[place], rows[place] = both[top], np.concatenate((rows[place], near + first))[top]
    return [keys[own] for own in rows]
