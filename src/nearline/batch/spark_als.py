"""ALS on Spark: interactions are added up from the lake by buckets of visitors, and MLlib factorises them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np
import pyarrow as pa
from pyspark import StorageLevel
from pyspark.ml.recommendation import ALS
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nearline.batch.backfill.plan import Place, Reading, archived, buckets_for
from nearline.batch.backfill.spark import by_bucket, gathered, session, tenant_at
from nearline.batch.backfill.splits import TOPIC, splits
from nearline.batch.interactions import InteractionCollector, Wanted
from nearline.schema.components import FitData
from nearline.schema.event import EVENT, concat
from nearline.schema.factors import Factors, Recipe
from nearline.schema.interactions import confidence

INTERACTIONS = "visitor long, user int, item int, weight long, confidence float"
"""Key of the visitor, its bits as a signed number; numbers of user and item (its place in the catalogue); thousandths."""
_INTERACTIONS = pa.schema(
    [
        ("visitor", pa.int64()),
        ("user", pa.int32()),
        ("item", pa.int32()),
        ("weight", pa.int64()),
        ("confidence", pa.float32()),
    ]
)
GATHERED = 32
"""Pieces whose events are taken at a time: at most 25 MB."""
ROWS = 1 << 16


class SparkFactoriser:
    """Factorises on Spark; a session is held until it is closed.

    Args:
        place: the tenant, as workers find it: they see the same files under the same paths.
        master: Spark's; all cores of this machine by default, or what `spark-submit` says.
        tell: told what goes on.
    """

    def __init__(self, place: Place, master: str = "", tell: Callable[[str], None] = lambda text: None) -> None:
        self._place, self._tell = place, tell
        self._tenant = tenant_at(place)
        horizon, lakes = archived(self._tenant)
        ends = [lake.end(TOPIC) for lake in lakes]
        found = tuple(part for lake, end in zip(lakes, ends, strict=True) for part in splits(lake, 0, end, horizon))
        self._reading = Reading(found, horizon, np.ones(buckets_for(sum(ends)), np.bool_))
        self._spark = session("nearline train", master)

    def __enter__(self) -> SparkFactoriser:
        return self

    def __exit__(self, *_: object) -> None:
        self._spark.stop()

    def interactions(self, data: FitData) -> DataFrame:
        """Return who touched what, one row a pair, `INTERACTIONS`; of `data` all but the events is read."""
        wanted = Wanted(data.since, data.now, np.unique(data.items), self._tenant.meta.order_only, data.share, data.seed)
        buckets = len(self._reading.wanted)
        pieces = gathered(self._spark, self._place, self._reading)
        return pieces.mapInArrow(lambda batches: _collect(wanted, buckets, batches), INTERACTIONS)

    def __call__(self, data: FitData, recipe: Recipe) -> Factors | None:
        """Factorise the lake's interactions; see `Factoriser`."""
        touched = self.interactions(data).persist(StorageLevel.DISK_ONLY)
        try:
            pairs, users, items = touched.agg(F.count("*"), F.count_distinct("user"), F.count_distinct("item")).first()  # type: ignore[misc]
            self._tell(f"{pairs:,} interactions of {users:,} users and {items:,} items, on {self._spark.sparkContext.master}")
            factors = min(recipe.factors, items - 1, users - 1)
            if factors < 2:
                return None
            als = ALS(
                rank=factors,
                maxIter=recipe.iterations,
                # MLlib takes λ times a row's number of entries, and our λ is each row's.
                regParam=recipe.regularization * (users + items) / (2 * pairs),
                alpha=recipe.alpha,
                implicitPrefs=True,
                seed=data.seed,
                userCol="user",
                itemCol="item",
                ratingCol="confidence",
            )
            table = als.fit(touched.select("user", "item", "confidence")).itemFactors.toArrow().sort_by("id")
        finally:
            touched.unpersist()
        vectors = table["features"].combine_chunks().flatten().to_numpy().astype(np.float32, copy=False)
        return Factors(np.unique(data.items)[table["id"].to_numpy()], vectors.reshape(-1, factors), users)


def _collect(wanted: Wanted, buckets: int, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the interactions of buckets, from their pieces, which come bucket by bucket and in order."""
    for bucket, own in by_bucket(batches):
        collector = InteractionCollector(wanted)
        while some := [np.frombuffer(events, EVENT) for events in islice(own, GATHERED)]:
            collector.take(concat(some))
        visitors, items, weights = collector.sums()
        # MLlib wants numbers of 32 bits: those of a bucket's visitors leave the other buckets' free.
        users = (np.unique(visitors, return_inverse=True)[1] * buckets + bucket).astype(np.int32)
        columns = (
            visitors.view(np.int64),
            users,
            np.searchsorted(wanted.items, items).astype(np.int32),
            weights,
            confidence(weights),
        )
        whole = pa.RecordBatch.from_arrays([pa.array(column) for column in columns], schema=_INTERACTIONS)
        for begin in range(0, len(weights), ROWS):
            yield whole.slice(begin, ROWS)
