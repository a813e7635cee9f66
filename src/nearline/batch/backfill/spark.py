"""A backfill on Spark: it plans, shuffles, spills and tries again; the lake is read, and buckets are folded, by our code."""

from __future__ import annotations

import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import groupby, islice
from pathlib import Path

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from nearline.app.load import load_app
from nearline.app.tenant import Tenant
from nearline.batch.backfill.folding import BucketFolder, Folded
from nearline.batch.backfill.pieces import pieces
from nearline.batch.backfill.plan import Job, Place, Reading
from nearline.batch.backfill.splits import events_of

PIECES = "bucket int, partition int, first long, events binary"
FOLDED = "bucket int, visitors long, events long"
_PIECES = pa.schema([("bucket", pa.int32()), ("partition", pa.int32()), ("first", pa.int64()), ("events", pa.binary())])
_FOLDED = pa.schema([("bucket", pa.int32()), ("visitors", pa.int64()), ("events", pa.int64())])
BATCH = 16
"""Pieces that go between the JVM and Python at a time: less than 16 MB."""
LOCAL = "local[*,4]"
"""All cores of this machine; a task that fails is tried four times."""


def run_spark(place: Place, job: Job, master: str = "", tell: Callable[[str], None] = lambda text: None) -> list[Folded]:
    """Write the buckets that are wanted; return what they came to.

    Args:
        place: the tenant, as workers find it: they see the same files under the same paths.
        job: what is wanted.
        master: Spark's; all cores of this machine by default, or what `spark-submit` says.
        tell: told what goes on.
    """
    spark = session("nearline features", master)
    try:
        tell(f"{len(job.splits)} parts of the lake, {int(job.wanted.sum())} buckets, on {spark.sparkContext.master}")
        rows = gathered(spark, place, job.reading).mapInArrow(lambda batches: _fold(place, job, batches), FOLDED).collect()
        return [Folded(row.bucket, row.visitors, row.events) for row in rows]
    finally:
        spark.stop()


def gathered(spark: SparkSession, place: Place, reading: Reading) -> DataFrame:
    """Return the pieces (`PIECES`) of the lake's events, each bucket's in one task and each partition's in order.

    So whoever takes a bucket gets its events as one reader of the log would. Each bucket that is asked for is there, if only
    with an empty piece.
    """
    tasks = max(1, len(reading.splits))
    read = spark.range(0, tasks, 1, tasks).mapInArrow(lambda batches: _read(place, reading, batches), PIECES)
    return read.repartition(len(reading.wanted), "bucket").sortWithinPartitions("bucket", "partition", "first")


def session(name: str, master: str = "") -> SparkSession:
    """Return a session; what Spark's own files and `spark-submit` say beside this is kept."""
    builder = SparkSession.builder.appName(name)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    if master or not submitted:
        builder = builder.master(master or LOCAL)
    options = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
        "spark.sql.adaptive.enabled": "false",  # buckets stay tasks of their own, however few events they have
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(BATCH),
    }
    if not submitted and (master or LOCAL).startswith("local"):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        options |= {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
    for option, value in options.items():
        builder = builder.config(option, value)
    spark: SparkSession = builder.getOrCreate()
    return spark


def tenant_at(place: Place) -> Tenant:
    """Return the tenant of a place, made once for all tasks that a worker is given."""
    return _tenant(pickle.dumps(place))


@cache
def _tenant(place: bytes) -> Tenant:
    found: Place = pickle.loads(place)
    return Tenant(load_app(found.app), found.settings, found.name)


def by_bucket(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, Iterator[pa.Buffer]]]:
    """Yield each bucket of gathered pieces with the bytes of its events, `[n_i] EVENT`, in order."""
    rows = (
        (bucket, events)
        for batch in batches
        for bucket, events in zip(batch.column("bucket").to_pylist(), batch.column("events"), strict=True)
    )
    for bucket, own in groupby(rows, lambda row: row[0]):
        yield bucket, (events.as_buffer() for _, events in own)


def _read(place: Place, reading: Reading, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the pieces of splits, which are given by number."""
    tenant, buckets = tenant_at(place), len(reading.wanted)
    for number in (number for batch in batches for number in batch.column(0).to_pylist()):
        if number == 0:
            # Each bucket is folded, also one that has no event: rows of before may be there.
            yield from _batches((bucket, -1, -1, b"") for bucket in reading.wanted.nonzero()[0].tolist())
        for split in reading.splits[number : number + 1]:
            found = pieces(events_of(tenant, split, reading.horizon), buckets, reading.wanted)
            yield from _batches(
                (piece.bucket, split.partition, int(piece.events["offset"][0]), piece.events.tobytes()) for piece in found
            )


def _batches(rows: Iterator[tuple[int, int, int, bytes]]) -> Iterator[pa.RecordBatch]:
    while some := list(islice(rows, BATCH)):
        columns = zip(zip(*some, strict=True), _PIECES.types, strict=True)
        yield pa.RecordBatch.from_arrays([pa.array(values, kind) for values, kind in columns], schema=_PIECES)


def _fold(place: Place, job: Job, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Write buckets' rows, from their pieces, which come bucket by bucket and in order; yield what each came to."""
    tenant = tenant_at(place)
    with tempfile.TemporaryDirectory(prefix="nearline-") as folder:
        spool = Path(folder) / "events"
        for bucket, own in by_bucket(batches):
            with spool.open("wb") as file:
                for events in own:
                    file.write(events)
            done = BucketFolder(tenant, job).fold(bucket, spool)
            yield pa.RecordBatch.from_pydict(
                {"bucket": [bucket], "visitors": [done.visitors], "events": [done.events]}, _FOLDED
            )
