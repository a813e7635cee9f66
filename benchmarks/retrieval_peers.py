"""A peer's search of what `benchmarks.retrieval` left in a folder; run by a Python that has it, one thread."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

Search = Callable[[Any, int], Any]


def measured(what: str, search: Search, queries: Any, true: Any) -> None:
    """Print recall and time of top 500."""
    found = [search(query, 500) for query in queries]
    took = []
    for query in queries:
        began = time.perf_counter()
        search(query, 500)
        took.append(1e3 * (time.perf_counter() - began))
    recall = np.mean([np.isin(wanted[:500], own).mean() for wanted, own in zip(true, found, strict=True)])
    print(
        f"{what}, recall@500, p50 / p99: {recall:.3f}, {np.percentile(took, 50):.2f} / {np.percentile(took, 99):.2f} ms",
        flush=True,
    )


def hnswlib(vectors: Any, queries: Any, true: Any) -> None:
    """Run hnswlib, 16 links."""
    index: Any = import_module("hnswlib").Index("ip", vectors.shape[1])
    index.init_index(len(vectors), M=16, ef_construction=120)
    began = time.perf_counter()
    index.add_items(vectors, num_threads=2)
    print(f"hnswlib, built in: {time.perf_counter() - began:.0f} s", flush=True)
    index.set_num_threads(1)
    for ef in (500, 1000, 2000):
        index.set_ef(ef)
        measured(f"hnswlib, ef {ef}", lambda query, k: index.knn_query(query[None], k)[0][0], queries, true)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    hnswlib(*[np.load(folder / f"{name}.npy") for name in ("vectors", "queries", "true")])
