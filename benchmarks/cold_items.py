"""New items: how often those that were held out of training are found by what the catalogue says of them alone.

`python -m benchmarks.cold_items --data ../shared/data/movietweetings-100k`. A twentieth of the items, drawn by seed, is
registered with its attributes, and no event of it is ever sent. The last tenth of the data is walked through in order of time;
before each event of such an item its user's list of a hundred is asked for, and a hundred of each source that can know a
new item. The chance that a hundred drawn blindly hold it stands beside. Whoever had no event before isn't asked about: nothing
leads from him to the item.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from statistics import fmean

import numpy as np
import pyarrow as pa

from benchmarks.cold import Shop, tenant_of
from benchmarks.cold_start import DATA
from benchmarks.table import machine
from nearline.batch.dataset import for_asking
from nearline.batch.importers import load_dataset
from nearline.batch.metrics import estimate
from nearline.batch.protocols import Split, next_event
from nearline.embedded.evaluation import event_bodies

COMMAND = "python -m benchmarks.cold_items"
SHARE, DEEP = 20, 100
ALONE = ("content", "affinity", "sequence", "als", "new_arrivals")
"""Sources that can know an item without events, where they are in use."""


def walk(shop: Shop, split: Split, new: set[str]) -> tuple[dict[str, list[int]], int]:
    """Reveal and ask; return where each system had the right items, -1 for nowhere, and how many lists had any new one."""
    places, with_new = defaultdict[str, list[int]](list), 0
    had = defaultdict[str, set[str]](set)
    for user, item in zip(split.known["user_id"].to_pylist(), split.known["item_id"].to_pylist(), strict=True):
        had[user].add(item)
    world = shop.engine.world
    rows = zip(*(split.reveal[name].to_pylist() for name in ("user_id", "item_id", "timestamp")), strict=True)
    for (user, item, now), body in zip(rows, event_bodies(split.reveal), strict=True):
        if item not in new:
            had[user].add(item)
            shop.send(body)
            continue
        if item in had[user] or not had[user]:
            continue
        query = shop.query(user, now, DEEP)
        items, _ = shop.ask(query)
        places["the engine's list"].append(_place(items, item))
        with_new += any(other in new for other in items[:10])
        ids, row = world.catalog.ids, world.hydrate(query.visitor, now)
        for source in shop.engine.recommender.pipeline.sources:
            if source.name in ALONE:
                found = source.fetch(query, row, DEEP + len(had[user])).items.tolist()
                fresh = [ids[slot] for slot in found if ids[slot] not in had[user]]
                places[f"`{source.name}` alone"].append(_place(fresh[:DEEP], item))
    return places, with_new


def _place(items: list[str], item: str) -> int:
    return items.index(item) if item in items else -1


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--holdout", choices=("test", "validation"), default="test", help="tune on validation only")
    parser.add_argument("--seed", type=int, default=7)
    o = parser.parse_args()
    if not o.data.is_dir():
        raise SystemExit(f"there is no {o.data}; say where the data is with --data")
    dataset = for_asking(load_dataset(o.data))
    split = next_event(dataset, o.holdout)
    every = sorted(item.item_id for item in dataset.items)
    new = set(np.random.default_rng(o.seed).choice(every, len(every) // SHARE, replace=False).tolist())
    kept = pa.array([item not in new for item in split.known["item_id"].to_pylist()])
    with tenant_of(dataset, split.known.filter(kept)) as tenant:
        shop = Shop(tenant)
        places, with_new = walk(shop, split, new)
        shop.close()
    lists = len(places["the engine's list"])
    print(f"{machine()}\n\n{dataset.name}, {split.name}: {len(new):,} of {len(every):,} items held out, {lists:,} lists\n")
    print("| found by | recall@10 | recall@100 | place, where found |\n" + "| --- " * 4 + "|")
    for name, own in places.items():
        cells = [estimate([0 <= place < k for place in own]) for k in (10, DEEP)]
        mean = f"{1 + fmean(found):.0f}" if (found := [place for place in own if place >= 0]) else ""
        print(f"| {name} | {' | '.join(f'{one.mean:.4f} ± {one.error:.4f}' for one in cells)} | {mean} |")
    print(f"| blind chance | {10 / len(every):.4f} | {DEEP / len(every):.4f} | |")
    print(f"\nlists with one of the held out items among the first ten: {with_new / lists:.1%}")


if __name__ == "__main__":
    main()
