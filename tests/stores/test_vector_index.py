"""The contract of an index of vectors, over all adapters, against the exact product: each runs on the server of its scheme."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engines.servers import Breakable, StoreServer, serving
from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.schema.vectors import Embedding, Keys, VectorIndex, Vectors, embedding_of
from nearline.stores import vectors
from nearline.stores.adapters import schemes, shown
from nearline.stores.vector_index import PAGE, Indexes, VectorPlace, fill, open_vector_index

everywhere = pytest.mark.parametrize("server", serving(vectors), indirect=True)
stored = pytest.mark.parametrize("server", serving(vectors, breaks=True), indirect=True)
"""What outlives who opened it."""
DIMENSIONS, MANY = 24, 2 * PAGE + 500


def at(url: str, timeout: float = 20.0) -> VectorPlace:
    return VectorPlace(url, f"t-{uuid.uuid4().hex[:8]}", timeout)


def some(seed: int, n: int = MANY) -> tuple[Keys, Vectors]:
    """Return keys from the whole range of 64 bits, and vectors."""
    random = np.random.default_rng(seed)
    return random.integers(0, 2**64, n, np.uint64), random.normal(size=(n, DIMENSIONS)).astype(np.float32)


def opened(place: VectorPlace, keys: Keys, own: Vectors, name: str = "als") -> VectorIndex:
    return open_vector_index(place, embedding_of(name, keys, own))


def best(keys: Keys, own: Vectors, query: Vectors, limit: int) -> tuple[list[int], Vectors]:
    """Return what is nearest, exactly."""
    products = own @ query
    order = np.argsort(-products)[:limit]
    return keys[order].tolist(), products[order]


@pytest.fixture
def place(server: StoreServer) -> VectorPlace:
    return at(server.place())


@pytest.fixture
def open_one(place: VectorPlace) -> Iterator[Indexes]:
    made = Indexes(place)
    yield made
    made.close()


def test_all_adapters_are_tested() -> None:
    assert {name.partition("-")[0] for name in serving(vectors)} == set(schemes(vectors))


@everywhere
def test_the_nearest_are_those_of_the_exact_product(place: VectorPlace, open_one: Indexes) -> None:
    keys, own = some(1)
    index = open_one.of(embedding_of("als", keys, own))
    assert (index.whole(), len(index)) == (False, 0)
    assert fill(index, keys, own)
    assert (index.whole(), len(index), fill(index, keys, own)) == (True, MANY, False)
    for query in some(2, 5)[1]:
        for limit in (1, 20, 500):
            found, products = index.nearest(query, limit)
            exact, values = best(keys, own, query, limit)
            assert (str(found.dtype), str(products.dtype), len(found)) == ("uint64", "float32", limit)
            # A scan of codes may take one for its neighbour.
            assert len(set(found.tolist()) & set(exact)) >= np.floor(0.98 * limit)
            np.testing.assert_allclose(products, values, atol=0.03 * float(np.linalg.norm(query)))
            assert (np.diff(products) <= 0).all()
    assert len(index.nearest(own[0], 10 * MANY)[0]) == MANY


@stored
def test_who_opens_it_anew_finds_it_whole_and_the_same(place: VectorPlace) -> None:
    keys, own = some(1, 500)
    index = opened(place, keys, own)
    fill(index, keys, own)
    index.close()
    other = opened(place, keys, own)
    assert other.whole()
    assert other.nearest(own[7], 30)[0].tolist() == best(keys, own, own[7], 30)[0]
    other.close()
    other.close()


@everywhere
def test_what_is_put_and_dropped_is_so_for_the_next_query(open_one: Indexes) -> None:
    keys, own = some(3, 300)
    index = open_one.of(embedding_of("als", keys, own))
    fill(index, keys, own)
    far = 50 * own[:2]
    index.put(keys[:1], far[:1])
    new = np.array([17], np.uint64)
    index.put(new, far[1:])
    assert index.nearest(own[0], 1)[0].tolist() == [keys[0]]
    assert index.nearest(own[1], 1)[0].tolist() == [17]
    assert len(index) == 301
    index.renew()
    index.drop(np.array([17, 18, keys[5]], np.uint64))
    assert len(index) == 299
    assert not {17, int(keys[5])} & set(index.nearest(own[1], 400)[0].tolist())


@stored
def test_a_broken_off_filling_is_not_whole_and_is_gone_on_with(place: VectorPlace) -> None:
    keys, own = some(4, 900)
    first, second = opened(place, keys, own), opened(place, keys, own)
    first.put(keys[:400], own[:400])
    assert not second.whole()
    assert fill(second, keys, own)
    assert (first.whole(), len(first)) == (True, 900)
    first.close()
    second.close()


@stored
def test_embeddings_never_meet_and_the_two_last_whole_are_kept(place: VectorPlace) -> None:
    made = [some(seed, 200) for seed in range(10, 14)]
    indexes = [opened(place, *one) for one in made]
    beside = opened(place, *made[0], name="als_2")
    fill(beside, *made[0])
    other = opened(at(place.url), *made[0])
    fill(other, *made[0])
    for index, one in zip(indexes[:2], made, strict=False):
        fill(index, *one)
    indexes[2].put(*made[2])  # and its filler dies
    assert [index.whole() for index in indexes] == [True, True, False, False]
    query = made[0][1][0]
    assert [index.nearest(query, 5)[0].tolist() for index in indexes[:2]] == [best(*one, query, 5)[0] for one in made[:2]]
    fill(indexes[3], *made[3])
    assert [index.whole() for index in indexes] == [False, True, False, True]
    with pytest.raises(StoreUnavailableError):
        indexes[0].nearest(query, 5)
    # Back to an older one: it comes again, and is the newest.
    fill(indexes[0], *made[0])
    assert [index.whole() for index in indexes] == [True, False, False, True]
    assert beside.whole()
    assert other.whole()
    for index in (*indexes, beside, other):
        index.close()


@stored
def test_an_index_that_does_not_answer_says_so_in_time(server: Breakable) -> None:
    keys, own = some(5, 300)
    patient, place = at(server.place()), at(server.place(), 0.5)
    place = VectorPlace(place.url, patient.tenant, place.timeout)
    index, other = opened(place, keys, own), opened(patient, keys, own)
    fill(other, keys, own)
    assert index.whole()
    other.nearest(own[0], 3)
    server.freeze()
    try:
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError, match=re.escape(shown(place.url))):
            index.nearest(own[0], 3)
        assert time.monotonic() - began < 3
        with pytest.raises(StoreUnavailableError):
            opened(place, keys, own).whole()
    finally:
        server.thaw()
    until = time.monotonic() + 60
    assert again(index, until)
    server.kill()
    began = time.monotonic()
    with pytest.raises(StoreUnavailableError, match=re.escape(shown(place.url))):
        index.nearest(own[0], 3)
    assert time.monotonic() - began < 3
    with pytest.raises(StoreUnavailableError):
        opened(place, keys, own).whole()
    server.start()
    until = time.monotonic() + 60
    assert again(index, until)
    assert index.nearest(own[3], 10)[0].tolist() == best(keys, own, own[3], 10)[0]
    index.close()
    other.close()


def again(index: VectorIndex, until: float) -> bool:
    """Return whether it is whole, asking again while a busy machine is late."""
    while True:
        try:
            return index.whole()
        except StoreUnavailableError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def test_milvus_lite_in_a_file_needs_no_server(tmp_path: Path) -> None:
    pytest.importorskip("milvus_lite")
    keys, own = some(6, 300)
    index = opened(at(f"milvus://{tmp_path}/vectors.db?index=autoindex"), keys, own)
    fill(index, keys, own)
    assert index.nearest(own[3], 10)[0].tolist() == best(keys, own, own[3], 10)[0]
    index.close()


@pytest.mark.parametrize(
    "url",
    [
        "pigeon://loft",
        "milvus:",
        "milvus:///tmp/file",
        "milvus://host:port",
        "milvus://h?index=TREE",
        "milvus://h?colour=red",
        "memory:?index=tree",
        "memory:?nprobe=many",
        "faiss:?shards=0",
        "faiss:?colour=red",
        "faiss://host",
        "memory:?floor=2",
    ],
)
def test_what_is_no_index_is_refused(url: str) -> None:
    with pytest.raises(NearlineError, match=r"storage\.vectors .*(milvus|faiss):"):
        open_vector_index(at(url), Embedding("als", "1", 4))


def test_a_password_is_never_told() -> None:
    index = open_vector_index(at("milvus://me:secret@127.0.0.1:1/shop"), Embedding("als", "1", 4))
    with pytest.raises(StoreUnavailableError) as told:
        index.whole()
    assert "secret" not in str(told.value)
