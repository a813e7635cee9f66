"""The contract of a store of objects, kept by every adapter: whole puts, sorted listings, one holder of a lock."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engines.fixtures import Start
from engines.s3 import S3
from engines.servers import serving
from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.stores import buckets, lease
from nearline.stores.adapters import schemes
from nearline.stores.objects import Objects, open_objects


@pytest.fixture
def place(objects_url: str) -> str:
    return objects_url


@pytest.fixture
def objects(place: str, tmp_path: Path) -> Objects:
    return open_objects(place, tmp_path)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "SECONDS", 3.0)
    monkeypatch.setattr(lease, "GRACE", 0.5)
    monkeypatch.setattr(lease, "LOOK", 0.05)


def test_all_adapters_are_tested() -> None:
    assert schemes(buckets) == sorted(["file", *serving(buckets)])
    with pytest.raises(NearlineError, match="use one of file:, "):
        open_objects("ftp://host/x", Path())


def test_objects_come_back_and_are_listed_in_order(objects: Objects) -> None:
    assert (objects.names("a"), objects.folders("a")) == ([], [])
    for name in ("a/date=2/1", "a/date=1/2", "a/date=1/1", "a/partition=1/date=0/1", "a/.hidden/1", "b/1"):
        objects.put(name, name.encode())
    assert objects.names("a") == ["a/date=1/1", "a/date=1/2", "a/date=2/1", "a/partition=1/date=0/1"]
    assert objects.names("a", before="partition=") == ["a/date=1/1", "a/date=1/2", "a/date=2/1"]
    assert objects.folders("a") == ["date=1", "date=2", "partition=1"]
    assert objects.names("a/.hidden") == ["a/.hidden/1"]
    assert objects.read("a/date=1/2") == b"a/date=1/2"
    objects.put("b/1", b"again")
    assert objects.read("b/1") == b"again"
    with pytest.raises(FileNotFoundError):
        objects.read("b/2")
    objects.delete(["a/date=1/1", "a/date=1/2", "never/was"])
    assert objects.folders("a") == ["date=2", "partition=1"]


def test_a_large_object_is_whole_and_parquet_is_read_from_it(objects: Objects) -> None:
    table = pa.table({"n": pa.array(range(3_000_000)), "k": pa.array([i * 7919 % 65_537 for i in range(3_000_000)])})
    out = pa.BufferOutputStream()
    pq.write_table(table, out, use_dictionary=False, compression="none")
    assert out.getvalue().size > 20_000_000
    objects.put("large", out.getvalue())
    assert pq.read_table(objects.source("large"), columns=["k"]).equals(table.select(["k"]))


def test_of_many_who_create_an_object_one_does(objects: Objects) -> None:
    done: list[tuple[int, bool]] = []

    def create(n: int) -> None:
        done.append((n, objects.create("one", b"%d" % n)))

    threads = [threading.Thread(target=create, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [n for n, created in done if created]
    assert objects.read("one") == b"%d" % winner
    assert objects.names("") in (["one"], ["/one"])


def test_a_lock_has_one_holder(objects: Objects, quick: None) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work(n: int) -> None:
        for _ in range(3):
            with objects.locked("t/.lock") as held:
                inside.append(n)
                most.append(len(inside))
                time.sleep(0.02)
                held.check()
                inside.remove(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    with objects.locked("t/.other"), pytest.raises(BlockingIOError), objects.locked("t/.other", wait=False):
        pass
    for thread in threads:
        thread.join()
    assert (len(most), max(most)) == (12, 1)


HOLDER = """
import sys, time
from pathlib import Path
from nearline.stores import lease
from nearline.stores.objects import open_objects
lease.SECONDS, lease.GRACE, lease.LOOK = 3.0, 0.5, 0.05
with open_objects(sys.argv[1], Path()).locked("t/.lock") as held:
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_is_kept_as_long_as_its_holder_lives(place: str, objects: Objects, quick: None) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, place], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        time.sleep(5)  # longer than a lease and its grace
        with pytest.raises(BlockingIOError), objects.locked("t/.lock", wait=False):
            pass
        holder.kill()
        with objects.locked("t/.lock") as held:
            held.check()
    finally:
        holder.kill()
        holder.communicate()


def test_who_was_frozen_writes_nothing_more(bucket: S3, quick: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place = bucket.place()
    first, second = open_objects(place, tmp_path), open_objects(place, tmp_path)
    waits: Callable[..., bool] = threading.Event.wait
    with ExitStack() as stack:
        with monkeypatch.context() as patch:
            # Nothing is renewed, as where the process is stopped.
            patch.setattr(threading.Event, "wait", lambda self, seconds=None: waits(self, 3600 if seconds else None))
            frozen = stack.enter_context(first.locked("t/.lock"))
            time.sleep(0.5)
        with second.locked("t/.lock") as held:
            held.check()
            with pytest.raises(StoreUnavailableError, match="ran out"):
                frozen.check()


def test_a_bucket_that_hangs_or_is_not_there_is_told_in_time(
    bucket: S3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    absent = open_objects("s3://no-such-bucket/x", tmp_path)
    with pytest.raises(StoreUnavailableError, match="s3://no-such-bucket/x"):
        absent.put("a", b"a")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    begun = time.monotonic()
    with pytest.raises(StoreUnavailableError):
        open_objects("s3://nearline/x", tmp_path).read("a")
    assert time.monotonic() - begun < 30


def test_of_several_name_nodes_the_one_that_answers_is_asked(started: Start, tmp_path: Path) -> None:
    place = started("hdfs").place()
    objects = open_objects(place.replace("@", "@127.0.0.1:9,"), tmp_path)
    objects.put("a/1", b"one")
    assert open_objects(place, tmp_path).read("a/1") == b"one"
    with pytest.raises(StoreUnavailableError, match=r"hdfs://127\.0\.0\.1:9/x"):
        open_objects("hdfs://127.0.0.1:9/x", tmp_path).put("a", b"a")
    for wrong in ("hdfs:///x", "hdfs://user:password@host/x"):
        with pytest.raises(NearlineError, match="write hdfs://") as caught:
            open_objects(wrong, tmp_path)
        assert "password@host" not in str(caught.value).partition("write")[0]
