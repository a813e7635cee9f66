"""ALS on Spark: the interactions are those of one process to the last thousandth, and its vectors find as much."""

from __future__ import annotations

import importlib.util
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from nearline.app.load import load_app
from nearline.app.sections import Settings, Storage
from nearline.app.sections import Train as TrainSettings
from nearline.app.tenant import Tenant
from nearline.batch.backfill.plan import Place
from nearline.batch.cleaning import clean
from nearline.batch.importing import import_dataset
from nearline.batch.interactions import InteractionCollector, Wanted
from nearline.embedded.demo import SHOP_APP, shop_dataset
from nearline.schema.candidates import F32
from nearline.schema.components import Arrays, FitData
from nearline.schema.event import ERASE, Events, Record
from nearline.schema.ids import keys
from nearline.schema.interactions import PairSums, touching
from nearline.sim.world import ShopWorld
from nearline.sources.als import AlsSource
from nearline.stores.history import iter_records
from nearline.stores.timeline import timeline

if importlib.util.find_spec("pyspark") is None or shutil.which("java") is None:
    pytest.skip("needs java (OpenJDK 17 or newer) and pyspark: pip install 'nearline[spark]'", allow_module_level=True)

RUN = """
import pickle, sys
import numpy as np
import pyarrow.parquet as pq
from dataclasses import replace
from nearline.batch.backfill.spark import tenant_at
from nearline.batch.spark_als import SparkFactoriser
from nearline.batch.training import train
from nearline.sources.als import AlsSource
place, data, source, out = pickle.load(open(sys.argv[1], "rb"))
with SparkFactoriser(place, "local[2]", print) as factoriser:
    pq.write_table(factoriser.interactions(data).toArrow(), out + "/interactions.parquet")
    np.savez(out + "/arrays.npz", **source.fit(replace(data, factoriser=factoriser)))
    assert train(tenant_at(place), print, factoriser=factoriser).published
"""


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Tenant:
    """A simulated shop with bots, where some visitors have erased themselves, and one came back."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "app.py").write_text(SHOP_APP.format(folder=folder))
    settings = Settings(storage=Storage(path=str(folder / "state")), train=TrainSettings(embeddings=16, examples=400))
    made = Tenant(load_app(folder / "app.py"), settings)
    import_dataset(made, shop_dataset(ShopWorld(3, 800, 300), 20))
    log = made.log()
    last = next(iter(timeline(log, made.lake, made.kinds).events["ts"][::-1]))
    log.append({"user_events": [Record("", ERASE, f"u{n:05d}", "", int(last), int(last)) for n in range(5)]})
    log.append({"user_events": [Record("back", "click", "u00001", "i00001", int(last), int(last))]})
    log.close()
    return made


def past(tenant: Tenant) -> tuple[Events, FitData, Events]:
    """Return all events, what sources learn from until five days before the end, and what came then."""
    log = tenant.log(read_only=True)
    events = timeline(log, tenant.lake, tenant.kinds).events
    items = keys(record.item_id for _, some in iter_records(log, tenant.lake, "item_events") for record in some)
    log.close()
    cleaned, dropped = clean(events, order_only=False)
    assert dropped["bots"] > 1000
    assert dropped["erased by their user"] > 5
    end = int(events["ts"].max())
    since, until = end - 18 * 86_400_000, end - 5 * 86_400_000
    learned = cleaned[(cleaned["ts"] >= since) & (cleaned["ts"] <= until)]
    return events, FitData(learned, np.unique(items), until, 7, since), cleaned[cleaned["ts"] > until]


def recall(arrays: Arrays, learned: Events, later: Events) -> float:
    """Return recall@10 of items that each visitor touched later and not before, from the vector folded in from his last 20."""
    vectors: F32 = arrays["vectors"]
    found, wanted = 0.0, 0
    for user in np.unique(later["user"]):
        own, own_later = (some["item"][(some["user"] == user) & touching(some)] for some in (learned, later))
        new = np.setdiff1d(np.intersect1d(own_later, arrays["keys"]), own)
        rows = np.searchsorted(arrays["keys"], own[np.isin(own, arrays["keys"])])
        if not len(new) or not len(rows):
            continue
        recent = rows[::-1][:20]
        scores = vectors @ (arrays["solve"] @ (0.85 ** np.arange(len(recent)) @ vectors[recent]))
        scores[rows] = -np.inf
        found += len(np.intersect1d(arrays["keys"][np.argsort(-scores)[:10]], new)) / min(10, len(new))
        wanted += 1
    return found / wanted


def test_spark_learns_what_one_process_learns(tenant: Tenant, tmp_path: Path) -> None:
    _, data, later = past(tenant)
    source = AlsSource(factors=16)
    place = Place(Path(tenant.settings.storage.path).parent / "app.py", tenant.settings, tenant.name)
    (tmp_path / "job").write_bytes(pickle.dumps((place, data, source, str(tmp_path))))
    # In a process of its own, with which the JVM ends; one session for all that is tried.
    done = subprocess.run([sys.executable, "-c", RUN, str(tmp_path / "job")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-5000:]
    # The same visitors (no bots, none who was erased), the same items, the same weights.
    table = pq.read_table(tmp_path / "interactions.parquet").sort_by([("visitor", "ascending"), ("item", "ascending")])
    learned = data.events[touching(data.events) & np.isin(data.events["item"], data.items)]
    sums = PairSums()
    sums.add(learned["user"], learned["item"], learned["weight"])
    users, items, weights = sums.sums()
    order = np.lexsort((items, users.view(np.int64)))
    assert len(weights) > 2000
    assert table["visitor"].to_numpy().tolist() == users.view(np.int64)[order].tolist()
    assert data.items[table["item"].to_numpy()].tolist() == items[order].tolist()
    assert table["weight"].to_numpy().tolist() == weights[order].tolist()
    numbers = set(zip(table["visitor"].to_pylist(), table["user"].to_pylist(), strict=True))
    assert len(numbers) == len({visitor for visitor, _ in numbers}) == len({number for _, number in numbers})
    # Its vectors are others, and find as much.
    spark, local = dict(np.load(tmp_path / "arrays.npz")), source.fit(data)
    assert {name: (own.shape, own.dtype) for name, own in spark.items()} == {
        name: (own.shape, own.dtype) for name, own in local.items()
    }
    assert spark["keys"].tolist() == local["keys"].tolist()
    found, wanted = recall(spark, data.events, later), recall(local, data.events, later)
    print(f"recall@10: Spark {found:.4f}, one process {wanted:.4f}")
    assert found > 0.85 * wanted > 0.05
    # And it is a release like any other.
    release = tenant.releases.load(tenant.releases.current(), tenant.feature_set)
    assert release.arrays["als"]["vectors"].shape == (len(release.arrays["als"]["keys"]), 16)


def test_interactions_are_the_same_however_their_events_are_cut(tenant: Tenant) -> None:
    events, data, _ = past(tenant)
    wanted = Wanted(data.since, data.now, data.items, order_only=False)
    found = []
    for size in (len(events), 977):
        collector = InteractionCollector(wanted)
        for begin in range(0, len(events), size):
            collector.take(events[begin : begin + size])
        found.append([column.tolist() for column in collector.sums()])
    assert found[0] == found[1]
    learned = data.events[touching(data.events) & np.isin(data.events["item"], data.items)]
    assert sum(found[0][2]) == int(learned["weight"].sum())
