"""How many segments: what lists by clusters of taste are worth, and how many of them need no computation for the user.

`python -m benchmarks.clusters --data ../shared/data/movietweetings-100k --protocol C`. For each number of clusters the source
`cluster` is fitted on what is known before the split and asked alone: the list of the visitor's cluster without what he had. A
list is a *hit* where the cluster's order was made less than an hour (of the data's clock) before, for anybody; protocol A asks
everybody at one moment, so there each cluster's first list alone is none. Who has touched nothing gets what everyone chooses.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmarks.cold import K, Shop, gain, tenant_of
from benchmarks.cold_start import DATA
from benchmarks.table import machine
from nearline.batch.dataset import for_asking
from nearline.batch.importers import load_dataset
from nearline.batch.metrics import estimate
from nearline.embedded.evaluation import PROTOCOLS, event_bodies, some_cases
from nearline.schema.clock import HOUR
from nearline.schema.components import FitData
from nearline.schema.ids import keys
from nearline.sources.cluster import ClusterSource
from nearline.stores.timeline import timeline

COMMAND = "python -m benchmarks.clusters"
COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def main() -> None:
    """Print the curve."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--protocol", choices=("A", "C"), default="C")
    parser.add_argument("--holdout", choices=("test", "validation"), default="validation")
    parser.add_argument("--users", type=int, default=0, help="users asked about, drawn by seed; 0 for all")
    parser.add_argument("--seed", type=int, default=7)
    o = parser.parse_args()
    dataset = for_asking(load_dataset(o.data))
    split = PROTOCOLS["A" if o.protocol == "A" else "C"](dataset, o.holdout)
    cases = some_cases(split.cases, o.users, o.seed)
    had = defaultdict[str, set[str]](set)
    for user, item in zip(split.known["user_id"].to_pylist(), split.known["item_id"].to_pylist(), strict=True):
        had[user].add(item)
    with tenant_of(dataset, split.known, trained=False) as tenant:
        log = tenant.log(read_only=True)
        events = timeline(log, tenant.lake, tenant.kinds, tenant.settings.state.dedupe_hours * HOUR).events
        log.close()
        data = FitData(
            events, keys(item.item_id for item in dataset.items), split.fit_end, o.seed, order_only=dataset.order_only
        )
        shop = Shop(tenant)
        world, ids = shop.engine.world, shop.engine.catalog.ids
        sources, fitted = [], []
        for count in COUNTS:
            began, source = time.process_time(), ClusterSource(clusters=count, refresh=HOUR)
            source.bind(world, source.fit(data))
            sources.append(source)
            fitted.append(time.process_time() - began)
        gains: list[list[float]] = [[] for _ in COUNTS]
        hits: list[list[bool]] = [[] for _ in COUNTS]
        made: list[dict[int, int]] = [{} for _ in COUNTS]
        bodies, done = event_bodies(split.reveal), 0
        reveal = list(zip(split.reveal["user_id"].to_pylist(), split.reveal["item_id"].to_pylist(), strict=True))
        for case in cases:
            while done < case.revealed:
                shop.send(bodies[done])
                had[reveal[done][0]].add(reveal[done][1])
                done += 1
            query = shop.query(case.user_id, case.now_ms)
            now = split.fit_end if dataset.order_only else case.now_ms
            row = world.hydrate(query.visitor, query.now)
            for place, source in enumerate(sources):
                own = source.cluster(query, row)
                found = source.listed(own, now).items.tolist() if own >= 0 else []
                fresh = [ids[slot] for slot in found if ids[slot] not in had[case.user_id]]
                items = fresh[:K] if own >= 0 else shop.popular(query, had[case.user_id])
                gains[place].append(gain(items, set(case.targets)))
                hits[place].append(now - made[place].get(own, -HOUR) < HOUR)
                if not hits[place][-1]:
                    made[place][own] = now
        shop.close()
    print(f"{machine()}\n\n{dataset.name}, {split.name}, {len(cases):,} lists\n")
    print("| clusters | hit ratio | NDCG@10 | to one cluster | seconds of fitting |\n" + "| --- " * 5 + "|")
    for place, count in enumerate(COUNTS):
        worth, change = estimate(gains[place]), estimate(np.subtract(gains[place], gains[0]))
        print(
            f"| {len(sources[place].centres)} of {count} | {np.mean(hits[place]):.4f} | {worth.mean:.4f} ± {worth.error:.4f} "
            f"| {change.mean:+.4f} ± {change.error:.4f} | {fitted[place]:.1f} |"
        )


if __name__ == "__main__":
    main()
