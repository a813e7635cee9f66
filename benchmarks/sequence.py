"""The sequence model alone, of a release that `nearline evaluate --keep` left: asked for the held out item among all items.

Protocol A: each user's last event (validation: the one before), asked with his last fifty, what he had left out. It is the
source as it serves: its own window, the exported tower in ONNX Runtime, the scan. Said with it: what a question costs on
one thread.

    nearline evaluate --data ../shared/data/ml-1m --protocol A --holdout validation --offline --keep kept
    python -m benchmarks.sequence kept --data ../shared/data/ml-1m --holdout validation
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from benchmarks.table import Row, percentile, say, show
from nearline.app.load import load_app
from nearline.app.settings import load_settings
from nearline.app.tenant import Tenant
from nearline.batch.dataset import for_asking
from nearline.batch.importers import load_dataset
from nearline.batch.metrics import evaluate_lists
from nearline.batch.protocols import leave_one_out
from nearline.schema.clock import HOUR
from nearline.schema.ids import key
from nearline.schema.query import Query
from nearline.sources.sequence import SequenceSource
from nearline.stores.history import iter_records
from nearline.stores.timeline import timeline

COMMAND = "python -m benchmarks.sequence"
K, TIMED = 10, 2000


def measured(folder: Path, data: Path, holdout: str, users: int) -> list[Row]:
    """Return the lines of a kept tenant."""
    tenant = Tenant(load_app(folder / "app.py"), load_settings(folder / "nearline.toml", {}))
    version = tenant.releases.current()
    release = tenant.releases.load(version, tenant.releases.manifest(version).feature_set)
    split = leave_one_out(for_asking(load_dataset(data)), "test" if holdout == "test" else "validation")
    log = tenant.log(read_only=True)
    world = tenant.world()
    world.adopt(iter_records(log, tenant.lake, "item_events"))
    past = timeline(log, tenant.lake, tenant.kinds, tenant.settings.state.dedupe_hours * HOUR).events
    log.close()
    world.apply(past)
    source = SequenceSource()
    source.bind(world, release.arrays["sequence"])
    order = np.argsort(past["user"], kind="stable")
    by_user, items = past["user"][order], past["item"][order]
    lists: list[list[str]] = []
    times: dict[str, list[float]] = {"with the tower": [], "no event since": []}
    cases = split.cases[:users] if users else split.cases
    for place, case in enumerate(cases):
        visitor = key(case.user_id)
        query, limit = Query(visitor, case.now_ms), world.n_items
        begin, end = np.searchsorted(by_user, visitor), np.searchsorted(by_user, visitor, side="right")
        found = source.fetch(query, world.hydrate(visitor, case.now_ms), limit).items
        seen = np.isin(world.columns.key[found], items[begin:end])
        lists.append([world.catalog.ids[slot] for slot in found[~seen][:K].tolist()])
        if place < TIMED:
            for name, kept in (("with the tower", False), ("no event since", True)):
                if not kept:
                    assert source._vectors is not None
                    source._vectors.made.clear()
                user = world.hydrate(visitor, case.now_ms)
                began = time.perf_counter()
                source.fetch(query, user, source.quota)
                times[name].append(1e3 * (time.perf_counter() - began))
    summary = evaluate_lists(lists, cases, world.n_items)
    say(f"{len(cases):,} cases of {split.name}, {len(past):,} events, {world.n_items:,} items")
    rows = [
        Row(f"{split.name}, {len(cases):,} lists: NDCG@10", f"{summary.ndcg.mean:.4f} ± {summary.ndcg.error:.4f}", "0.180"),
        Row("HR@10", f"{summary.hit_rate.mean:.4f} ± {summary.hit_rate.error:.4f}"),
    ]
    for name, took in times.items():
        shown = " / ".join(f"{percentile(took, share):.3f} ms" for share in (0.1, 0.5, 0.99))
        rows.append(Row(f"one question, {name}: p10 / p50 / p99", shown, "2 ms", "0.25 ms"))
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kept", type=Path, help="the folder that `nearline evaluate --keep` left")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--holdout", choices=["test", "validation"], default="validation")
    parser.add_argument("--users", type=int, default=0, help="only the first so many; 0: all")
    o = parser.parse_args()
    show(measured(o.kept, o.data, o.holdout, o.users))


if __name__ == "__main__":
    main()
