"""Indexes in this process: what comes and goes against the exact product, what travels with a release, what is refused."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.schema.vectors import Embedding, HeldIndex, Keys, VectorIndex, Vectors, embedding_of
from nearline.stores.nearest import canary, live
from nearline.stores.nearest.live import LiveIndex
from nearline.stores.nearest.packing import Header, pack, unpack
from nearline.stores.nearest.shards import ShardedIndex
from nearline.stores.nearest.wanted import FULL, SCANNED, Wanted, choice, wanted
from nearline.stores.vector_index import VectorPlace, open_vector_index

pytest.importorskip("faiss")
pytest.importorskip("scann")
DIMENSIONS = 16
KINDS = ("scan", "flat", "ivf_sq8", "ivf_pq", "hnsw", "scann")


def clustered(n: int, seed: int, dimensions: int = DIMENSIONS, clusters: int = 12) -> tuple[Keys, Vectors, np.ndarray]:
    """Return keys, vectors around some centres, and which centre each is around."""
    random = np.random.default_rng(seed)
    centres, own = 3 * random.normal(size=(clusters, dimensions)), random.integers(0, clusters, n)
    vectors = centres[own] + random.normal(size=(n, dimensions))
    return random.integers(1, 2**64, n, np.uint64), vectors.astype(np.float32), own


def held(url: str, keys: Keys, vectors: Vectors, packed: np.ndarray | None = None) -> HeldIndex:
    index = open_vector_index(VectorPlace(url, "t", 20.0), embedding_of("als", keys, vectors))
    assert isinstance(index, HeldIndex)
    index.hold(keys, vectors, packed)
    return index


def test_the_kind_is_chosen_by_number_and_by_what_is_installed_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = (0, SCANNED, SCANNED + 1, FULL, FULL + 1)
    for there, chosen in {
        ("scann", "faiss"): ["scan", "scan", "scann", "scann", "ivf_pq"],
        ("faiss",): ["scan", "scan", "ivf_sq8", "ivf_sq8", "ivf_pq"],
        ("scann",): ["scan", "scan", "scann", "scann", "scann"],
        (): ["scan"] * 5,
    }.items():
        monkeypatch.setattr("importlib.util.find_spec", lambda name, there=there: name if name in there else None)
        assert [choice(Wanted(), n).index for n in numbers] == chosen
    assert 'pip install "nearline[scann]"' in choice(Wanted(), FULL).why
    with pytest.raises(NearlineError, match=re.escape('pip install "nearline[faiss]"')):
        open_vector_index(VectorPlace("memory:?index=hnsw", "t", 20.0), Embedding("als", "0", 3))
    monkeypatch.undo()
    assert "200,001 vectors are too many for a scan" in choice(Wanted(), SCANNED + 1).why
    assert [choice(wanted("faiss:?index=hnsw&nprobe=99"), n).index for n in (10, 1_000)] == ["scan", "hnsw"]
    assert wanted("memory:?shards=4&floor=0.5") == Wanted(shards=4, floor=0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_finds_most_grows_and_travels(kind: str, tmp_path: Path) -> None:
    keys, vectors, _ = clustered(6_000, 1)
    url = f"memory:?index={kind}&nprobe={256 if kind == 'hnsw' else 64}"
    index = held(url, keys, vectors)
    least = 0.5 if kind == "ivf_pq" else 0.9

    def recall(asked: VectorIndex) -> float:
        verdict = canary.asked(asked, keys, vectors, np.zeros(len(keys), np.int64))
        return verdict.recall

    assert recall(index) >= least
    packed = index.packed()
    assert (packed is None) == (kind == "scan")
    if packed is not None:
        # From the pages of a file, as a release is read.
        np.save(tmp_path / "index.npy", packed)
        other = held(url, keys, vectors, np.load(tmp_path / "index.npy", mmap_mode="c"))
        query = vectors[3]
        assert other.nearest(query, 50)[0].tolist() == index.nearest(query, 50)[0].tolist()
        index = other
    # What comes is found at once, and after each merging; the first segment grows into a copy.
    assert isinstance(index, LiveIndex)
    fresh_keys, fresh, _ = clustered(1_000, 2)
    fresh = 1.5 * fresh
    index.put(fresh_keys[:600], fresh[:600])
    for step in ("", "renew", "merge", "put", "merge"):
        if step == "put":
            index.put(fresh_keys[600:], fresh[600:])
        elif step:
            getattr(index, step)()
        there = 1_000 if len(index) > 6_600 else 600
        found = np.mean([key in index.nearest(vector, 50)[0] for key, vector in zip(fresh_keys[:there], fresh, strict=False)])
        assert found >= (0.9 if kind != "ivf_pq" else 0.6)
    assert len(index) == 7_000
    index.drop(fresh_keys)
    assert recall(index) >= least
    assert len(index) == 6_000


def test_what_a_catalogue_brings_at_once_is_not_left_in_the_tail() -> None:
    random = np.random.default_rng(3)
    keys, vectors = np.arange(1, 1_001, dtype=np.uint64), random.normal(size=(1_000, DIMENSIONS)).astype(np.float32)
    index = LiveIndex(embedding_of("als", keys[:500], vectors[:500]), Wanted("scan"))
    index.hold(keys[:500], vectors[:500])
    index.put(keys[500:990], vectors[500:990])
    seen = index._seen
    assert seen is not None
    assert (len(seen.main), seen.n - seen.tail) == (990, 0)
    index.put(keys[990:], vectors[990:])
    seen = index._seen
    assert seen is not None
    assert (len(seen.main), seen.n - seen.tail) == (990, 10)
    check(index, dict(zip(keys.tolist(), vectors, strict=True)), vectors[7])


Step = st.tuples(
    st.sampled_from(["put", "drop", "renew", "merge"]), st.lists(st.integers(1, 60), min_size=1, max_size=12), st.integers(0, 9)
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["scan", "flat", "ivf_sq8", "scann"]), st.sampled_from([0, 1, 40, 1_200]), st.lists(Step, max_size=25))
def test_what_comes_and_goes_is_as_the_exact_product_says(kind: str, n: int, steps: list[tuple[str, list[int], int]]) -> None:
    random = np.random.default_rng(n)
    keys, vectors = np.arange(1, n + 1, dtype=np.uint64), random.normal(size=(n, DIMENSIONS)).astype(np.float32)
    true = dict(zip(keys.tolist(), vectors, strict=True))
    index = LiveIndex(embedding_of("als", keys, vectors), Wanted(kind, nprobe=4_096))
    index.hold(keys, vectors)
    before, live.TAIL = live.TAIL, 3
    try:
        for what, chosen, seed in steps:
            if what == "put":
                own = np.random.default_rng(seed).normal(size=(len(chosen), DIMENSIONS)).astype(np.float32)
                index.put(np.array(chosen, np.uint64), own)
                true |= dict(zip(chosen, own, strict=True))
            elif what == "drop":
                index.drop(np.array(chosen, np.uint64))
                true = {key: vector for key, vector in true.items() if key not in chosen}
            else:
                getattr(index, what)()
            check(index, true, random.normal(size=DIMENSIONS).astype(np.float32))
    finally:
        live.TAIL = before


def check(index: VectorIndex, true: dict[int, Vectors], query: Vectors) -> None:
    """Compare answers with the exact product of what is there, as closely as codes of 8 bits can."""
    assert len(index) == len(true)
    everything, products = index.nearest(query, 2_000)
    assert sorted(everything.tolist()) == sorted(true)
    close = 0.03 * float(np.linalg.norm(query)) * max([1.0, *(float(np.linalg.norm(vector)) for vector in true.values())])
    assert all(abs(true[key] @ query - product) < close for key, product in zip(everything.tolist(), products, strict=True))
    few, _ = index.nearest(query, 5)
    exact = sorted((float(vector @ query) for vector in true.values()), reverse=True)
    assert len(few) == min(5, len(true))
    assert all(true[key] @ query >= exact[min(4, len(exact) - 1)] - 2 * close for key in few.tolist())


@pytest.mark.parametrize("kind", ["scan", "ivf_sq8", "scann"])
def test_searches_go_on_while_items_come_and_go(kind: str) -> None:
    keys, vectors, _ = clustered(5_000, 3)
    index = held(f"memory:?index={kind}", keys, vectors)
    assert isinstance(index, LiveIndex)
    gone, (new_keys, new, _) = keys[:500], clustered(6_000, 4)
    index.drop(gone)
    stop, wrong = threading.Event(), []

    def search() -> None:
        random = np.random.default_rng(threading.get_ident() % 1000)
        while not stop.is_set():
            found, products = index.nearest(vectors[random.integers(0, 5_000)], 100)
            # A tombstone stays; nothing is there twice, and nothing from a segment that is half made.
            if len(set(found.tolist())) != 100 or np.isin(found, gone).any() or (np.diff(products) > 0).any():
                wrong.append(found)

    def keep_house() -> None:
        while not stop.is_set():
            index.renew()
            index.merge()

    threads = [threading.Thread(target=work) for work in (search, search, keep_house)]
    for thread in threads:
        thread.start()
    try:
        for first in range(0, 6_000, 50):
            index.put(new_keys[first : first + 50], 4 * new[first : first + 50])
            asked = first + 7
            assert new_keys[asked] in index.nearest(4 * new[asked], 20_000)[0]
            index.drop(new_keys[asked : asked + 1])
            assert new_keys[asked] not in index.nearest(4 * new[asked], 20_000)[0]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong
    assert len(index) == 4_500 + 6_000 - 120


def test_bytes_that_are_damaged_or_of_another_embedding_are_refused_and_built_anew(caplog: pytest.LogCaptureFixture) -> None:
    keys, vectors, _ = clustered(3_000, 5)
    index = held("faiss:?index=ivf_sq8", keys, vectors)
    packed, embedding = index.packed(), embedding_of("als", keys, vectors)
    assert packed is not None
    assert unpack(packed, embedding, len(keys))[0].index == "ivf_sq8"
    other = embedding_of("als", keys, vectors + np.float32(1e-3))
    flipped, short = packed.copy(), packed[: len(packed) // 2]
    flipped[len(packed) // 2] ^= 1
    wrong = [
        (flipped, embedding, 3_000, "checksum"),
        (short, embedding, 3_000, "checksum"),
        (packed[9:], embedding, 3_000, "damaged"),
        (packed[:3], embedding, 3_000, "damaged"),
        (np.zeros(0, np.uint8), embedding, 3_000, "damaged"),
        (packed, other, 3_000, f"als {embedding.version} × 16, not 3,000 of als {other.version}"),
        (packed, embedding, 2_999, "holds 3,000 vectors"),
        (pack(Header("als", embedding.version, 8, "flat", 3_000), packed[:100]), embedding, 3_000, "× 8, not"),
    ]
    for damaged, wanted_embedding, n, says in wrong:
        with pytest.raises(NearlineError, match=says):
            unpack(damaged, wanted_embedding, n)
    for damaged, *_ in wrong[:5]:
        caplog.clear()
        again = held("faiss:?index=ivf_sq8", keys, vectors, damaged)
        assert "is not used" in caplog.text
        assert canary.asked(again, keys, vectors, np.zeros(len(keys), np.int64)).recall > 0.8
    for kind, library in (("ivf_sq8", "FAISS"), ("scann", "ScaNN")):  # sound, but another version wrote it
        caplog.clear()
        foreign = pack(Header("als", embedding.version, DIMENSIONS, kind, len(keys)), packed[:100])
        again = held(f"memory:?index={kind}", keys, vectors, foreign)
        assert f"index of {library}" in str(caplog.records[0].__dict__["error"])
        assert "is not used" in caplog.text
        assert canary.asked(again, keys, vectors, np.zeros(len(keys), np.int64)).recall > 0.8
    # What a release brought is of a kind that is no longer wanted.
    assert held("faiss:?index=hnsw", keys, vectors, packed).kind == "hnsw"
    assert held("memory:", keys, vectors, packed).kind == "scan"


class Lost:
    """A shard that hangs, fails, or has lost its items, as it is told."""

    def __init__(self, shard: LiveIndex) -> None:
        self._shard, self.how = shard, ""
        self.free = threading.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._shard, name)

    def __len__(self) -> int:
        return len(self._shard)

    def nearest(self, query: Vectors, limit: int) -> tuple[Keys, Vectors]:
        if self.how == "hangs":
            self.free.wait(60)
        if self.how == "fails":
            raise StoreUnavailableError("away")
        keys, products = self._shard.nearest(query, limit)
        return (keys[:0], products[:0]) if self.how == "empty" else (keys, products)


@pytest.fixture
def sharded() -> Iterator[tuple[ShardedIndex, list[Lost], Keys, Vectors]]:
    keys, vectors, own = clustered(4_000, 6, clusters=4)
    keys = (keys & ~np.uint64(3)) | own.astype(np.uint64)  # each shard is a category
    embedding = embedding_of("als", keys, vectors)
    shards = [Lost(LiveIndex(embedding, Wanted("scan"))) for _ in range(4)]
    index = ShardedIndex(shards, 0.5)  # type: ignore[arg-type]
    index.put(keys, vectors)
    index.finish()
    yield index, shards, keys, vectors
    for shard in shards:
        shard.free.set()
    index.close()


def test_shards_that_hang_or_fail_are_gone_without_and_named(
    sharded: tuple[ShardedIndex, list[Lost], Keys, Vectors], caplog: pytest.LogCaptureFixture
) -> None:
    index, shards, keys, vectors = sharded
    query = vectors.sum(axis=0)
    whole = index.nearest(query, 200)[0]
    assert (index.missing, len(whole)) == ((), 200)
    assert set(whole.tolist()) >= set(keys[np.argsort(-(vectors @ query))[:150]].tolist())
    shards[1].how, shards[2].how = "hangs", "fails"
    for took_turn in range(2):
        began = time.monotonic()
        rest = index.nearest(query, 4_000)[0]
        assert index.missing == ("shard 1 of 4", "shard 2 of 4")
        assert set((rest % np.uint64(4)).tolist()) == {0, 3}
        # Who has not answered the last time is not waited for.
        assert took_turn == 0 or time.monotonic() - began < 0.45
    assert "shard 1 of 4, shard 2 of 4" in caplog.text
    shards[0].how = shards[3].how = "fails"
    with pytest.raises(StoreUnavailableError, match="no shard of 4"):
        index.nearest(query, 10)
    for shard in shards:
        shard.how = ""
        shard.free.set()
    until = time.monotonic() + 60
    while index.missing and time.monotonic() < until:
        index.nearest(query, 10)
    assert index.nearest(query, 200)[0].tolist() == whole.tolist()


def test_canary_queries_show_a_lost_shard_by_its_category(sharded: tuple[ShardedIndex, list[Lost], Keys, Vectors]) -> None:
    index, shards, keys, vectors = sharded
    index.floor = 0.6
    # One category is small: among all queries its loss is within what an approximate index misses.
    few = np.concatenate((np.flatnonzero(keys % np.uint64(4) != 3), np.flatnonzero(keys % np.uint64(4) == 3)[:160]))
    keys, vectors = keys[few], vectors[few]
    index.drop(np.setdiff1d(sharded[2], keys))
    categories = (keys % np.uint64(4)).astype(np.int64) + 100
    sound = canary.asked(index, keys, vectors, categories)
    assert sound.passed
    assert sound.worst > 0.9
    shards[3].how = "empty"
    lost = canary.asked(index, keys, vectors, categories)
    assert lost.recall > index.floor
    assert (lost.passed, lost.category) == (False, 103)
    assert lost.worst < 0.1
    assert "lowest in a category" in str(lost)
    shards[3].how = "fails"
    assert canary.asked(index, keys, vectors, categories).missing == ("shard 3 of 4",)
