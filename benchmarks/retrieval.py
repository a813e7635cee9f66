"""Searching 1,000,000 vectors and more: recall and time by kind of index and by how much it looks at, alone and under inserts.

Vectors lie in clusters of clusters of different sizes and lengths, and queries are what sources ask: sums of a visitor's last
items, from several clusters. A peer (hnswlib) runs in an environment of its own, named by --peers.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import faiss
import numpy as np

from benchmarks.table import Row, percentile, say, show
from nearline.schema.vectors import HeldIndex, Keys, VectorIndex, Vectors, embedding_of
from nearline.stores.vector_index import VectorPlace, open_vector_index

COMMAND = "python -m benchmarks.retrieval"
DIMENSIONS, QUERIES, SECONDS, RATE = 128, 300, 20.0, 1_000
PROBES = {
    "ivf_sq8": (8, 32, 64, 128, 0),
    "ivf_pq": (8, 32, 64, 128, 0),
    "scann": (25, 50, 100, 200, 0),
    "hnsw": (64, 256, 512, 1024),
}
PAGE = 250_000
NEW = 1 << 63
"""Keys from here on are of what came later."""


def made(n: int, seed: int = 1) -> Vectors:
    """Return vectors, `[n, DIMENSIONS] float32`: 4,000 clusters in 64 groups, 90 % of the energy in some 42 dimensions."""
    random, falling = np.random.default_rng(seed), np.arange(DIMENSIONS, dtype=np.float32)
    groups = random.normal(size=(64, DIMENSIONS)).astype(np.float32)
    centres = groups[random.integers(0, 64, 4_000)] + 0.7 * random.normal(size=(4_000, DIMENSIONS)).astype(np.float32)
    centres *= np.exp(-falling / 40) + 0.02
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    share = random.pareto(1.2, 4_000) + 0.1  # few clusters are large
    axes = np.linalg.qr(random.normal(size=(DIMENSIONS, DIMENSIONS)))[0].astype(np.float32) * np.exp(-falling / 12)
    axes /= np.linalg.norm(np.exp(-falling / 12))
    out = np.empty((n, DIMENSIONS), np.float32)
    for first in range(0, n, PAGE):
        here = min(PAGE, n - first)
        own = centres[random.choice(4_000, here, p=share / share.sum())]
        own = own + 0.7 * random.standard_normal((here, DIMENSIONS), np.float32) @ axes.T
        own /= np.linalg.norm(own, axis=1, keepdims=True)
        out[first : first + here] = own * random.lognormal(0, 0.25, (here, 1)).astype(np.float32)
    return out


def asked(vectors: Vectors, seed: int = 2) -> Vectors:
    """Return queries, `[QUERIES, DIMENSIONS] float32`: sums of six last items each, of which four are alike."""
    random = np.random.default_rng(seed)
    out = np.empty((QUERIES, DIMENSIONS), np.float32)
    pool = vectors[random.integers(0, len(vectors), 20_000)]
    for place in range(QUERIES):
        first = pool[random.integers(0, len(pool))]
        near = np.argpartition(-(pool @ first), 40)[:40]
        chosen = np.concatenate(([first], pool[random.choice(near, 3)], pool[random.integers(0, len(pool), 2)]))
        out[place] = (0.85 ** random.permutation(len(chosen)).astype(np.float32)) @ chosen
    return out


def exact(vectors: Vectors, queries: Vectors, depth: int = 1_000) -> np.ndarray:
    """Return the true rows, `[QUERIES, depth]`, best first."""
    flat = faiss.IndexFlatIP(DIMENSIONS)
    scores, rows = np.full((len(queries), depth), -np.inf, np.float32), np.zeros((len(queries), depth), np.int64)
    for first in range(0, len(vectors), PAGE):
        flat.reset()
        flat.add(vectors[first : first + PAGE])
        near, found = flat.search(queries, depth)
        both, ids = np.concatenate((scores, near), axis=1), np.concatenate((rows, found + first), axis=1)
        best = np.argsort(-both, axis=1)[:, :depth]
        scores, rows = np.take_along_axis(both, best, 1), np.take_along_axis(ids, best, 1)
    return rows


def opened(kind: str, nprobe: int, keys: Keys, vectors: Vectors, packed: np.ndarray | None) -> HeldIndex:
    """Return an index, read from its bytes where there are any."""
    index = open_vector_index(
        VectorPlace(f"memory:?index={kind}&nprobe={nprobe}", "bench", 60.0), embedding_of("b", keys, vectors)
    )
    assert isinstance(index, HeldIndex)
    index.hold(keys, vectors, packed)
    return index


def spent(took: list[float], used: list[float]) -> str:
    """Return how long searches took and what the processor worked of that, ms: on a busy machine they differ."""
    return f"{percentile(took, 0.5):.2f} / {percentile(took, 0.99):.2f} ms ({np.mean(used):.2f})"


def timed(index: VectorIndex, queries: Vectors, limit: int, true: Keys) -> str:
    """Return the recall and the time of searches on this thread, after one round to warm up."""
    found = [index.nearest(query, limit)[0] for query in queries]
    took, used = [], []
    for query in np.concatenate((queries, queries, queries)):
        began, busy = time.perf_counter(), time.thread_time()
        index.nearest(query, limit)
        took.append(1e3 * (time.perf_counter() - began))
        used.append(1e3 * (time.thread_time() - busy))
    recall = np.mean([np.isin(wanted[:limit], own).mean() for wanted, own in zip(true, found, strict=True)])
    return f"{recall:.3f}, {spent(took, used)}"


def inserting(index: VectorIndex, queries: Vectors, true: Keys) -> Row:
    """Return time and recall of searches on one thread, while another inserts and a third merges."""
    stop, late, put = threading.Event(), [0.0], [0]
    fresh, step, random = made(40_000, 9), RATE // 100, np.random.default_rng(4)

    def insert() -> None:
        began = time.perf_counter()
        while not stop.is_set():
            at = put[0] % (len(fresh) - step)
            index.put(random.integers(NEW, 2**64, step, np.uint64), fresh[at : at + step])
            put[0] += step
            wait = began + put[0] / RATE - time.perf_counter()
            late[0] = max(late[0], -wait)
            time.sleep(max(0.0, wait))

    def keep_house() -> None:
        while not stop.wait(0.5):
            index.renew()

    threads = [threading.Thread(target=work) for work in (insert, keep_house)]
    for thread in threads:
        thread.start()
    took, hits, seen, used, began = [], [], [], [], time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        for query, wanted in zip(queries, true, strict=True):
            start, busy = time.perf_counter(), time.thread_time()
            found, _ = index.nearest(query, 500)
            took.append(1e3 * (time.perf_counter() - start))
            used.append(1e3 * (time.thread_time() - busy))
            old = found[found < np.uint64(NEW)]
            # What is new takes places that the truth of before gave to others.
            hits.append(np.isin(wanted[: len(old)], old).mean())
        probe = put[0]
        one, vector = np.array([NEW + probe], np.uint64), fresh[probe % len(fresh)]
        start = time.perf_counter()
        index.put(one, 10 * vector[None])
        there = one[0] in index.nearest(vector, 500)[0]
        seen.append(1e3 * (time.perf_counter() - start) if there else np.inf)
        index.drop(one)
    stop.set()
    for thread in threads:
        thread.join()
    rate = put[0] / (time.perf_counter() - began)
    what = f"with {rate:,.0f} inserts/s: top 500, recall, p50 / p99 (processor time); put until found, p50 / most"
    text = f"{np.mean(hits):.3f}, {spent(took, used)}; {percentile(seen, 0.5):.1f} / {max(seen):.1f} ms"
    return Row(what, text, "0.95, 1 ms", "0.6 ms", COMMAND)


def table(n: int, kinds: list[str], peers: str) -> list[Row]:
    """Return the rows of n vectors."""
    say(f"{n:,} vectors")
    vectors = made(n)
    keys = np.random.default_rng(3).integers(1, 1 << 62, n, np.uint64)
    queries = asked(vectors)
    rows_true = exact(vectors, queries)
    true = keys[rows_true]
    rows, size = [], f"{n:,} × {DIMENSIONS}"
    for kind in kinds:
        say(kind)
        began = time.perf_counter()
        index = opened(kind, 0, keys, vectors, None)
        took = time.perf_counter() - began
        packed = index.packed()
        held = len(packed) if packed is not None else n * DIMENSIONS
        rows.append(Row(f"{size}, {kind}: built in, bytes a vector", f"{took:.0f} s, {held / n:.0f}", command=COMMAND))
        probes = PROBES.get(kind, (0,))
        for nprobe in probes:
            index = opened(kind, nprobe, keys, vectors, packed) if len(probes) > 1 else index
            text = "; ".join(timed(index, queries, limit, true) for limit in (500, 1_000))
            what = f"{size}, {kind}, nprobe {nprobe or 'as chosen'}: recall@500, p50 / p99 (processor time); @1,000"
            rows.append(Row(what, text, command=COMMAND))
            say(f"{kind} {nprobe}: {text}")
        if kind in ("ivf_sq8", "scann"):
            row = inserting(opened(kind, 0, keys, vectors, packed), queries, true)
            say(f"{row.what}: {row.measured}")
            rows.append(Row(f"{size}, {kind}, {row.what}", row.measured, row.wanted, row.hoped, COMMAND))
    if peers:
        rows += others(peers, vectors, queries, rows_true, size)
    return rows


def others(python: str, vectors: Vectors, queries: Vectors, true: np.ndarray, size: str) -> list[Row]:
    """Return the rows of hnswlib, run by another Python."""
    with tempfile.TemporaryDirectory() as folder:
        for name, array in (("vectors", vectors), ("queries", queries), ("true", true)):
            np.save(Path(folder) / name, array)
        command = [python, str(Path(__file__).with_name("retrieval_peers.py")), folder]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        say(ran.stdout + ran.stderr[-500:])
        parts = (line.partition(": ") for line in ran.stdout.splitlines())
        return [Row(f"{size}, {what}", text, command=COMMAND) for what, _, text in parts]


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=int, nargs="*", default=[1_000_000])
    parser.add_argument("--kinds", nargs="*", default=["scann", "ivf_sq8", "ivf_pq", "scan"])
    parser.add_argument("--peers", default="", help="a Python that has hnswlib")
    o = parser.parse_args()
    show([row for n in o.vectors for row in table(n, o.kinds, o.peers)])


if __name__ == "__main__":
    main()
