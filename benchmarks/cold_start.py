"""Cold start on real data: lists for users of whom 0, 1, 2 and 5 events are known, against recent popularity.

`python -m benchmarks.cold_start`. The last tenth of the data is walked through in order of time, every event revealed as it
came. Before a new user's next event the engine (the code that serves, in this process) is asked for ten items, and so is what
has been popular in the last days, without what the user had; the item that he took then is the right one. With `--train` a
release is trained on the first nine tenths; without, the sources are blended as before any release.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log2
from pathlib import Path
from statistics import fmean, stdev

import numpy as np

from benchmarks.table import machine, say
from nearline.app.load import load_app
from nearline.app.sections import Settings
from nearline.app.settings import settings_toml
from nearline.app.tenant import Tenant
from nearline.batch.importers import load_dataset
from nearline.batch.importing import import_dataset
from nearline.batch.popularity import PopularitySource
from nearline.batch.protocols import Holdout, Split, next_event
from nearline.batch.training import train
from nearline.embedded.engine import Engine
from nearline.embedded.evaluation import app_source, evaluation_settings, event_bodies
from nearline.schema.clock import DAY
from nearline.schema.ids import visitor_key
from nearline.schema.query import Query
from nearline.serving.metrics import Metrics
from nearline.serving.validate import EventValidator

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "movietweetings-100k"
KNOWN = (0, 1, 2, 5)
K = 10


@dataclass(slots=True)
class Worth:
    """NDCG@10 of each list, ours and by popularity."""

    ours: list[float] = field(default_factory=list)
    popular: list[float] = field(default_factory=list)

    def line(self, known: int) -> str:
        """Return a line of the table; the difference has the error of its pairs."""
        pairs = [a - b for a, b in zip(self.ours, self.popular, strict=True)]
        cells = [
            f"{fmean(values):.4f} ± {stdev(values) / len(values) ** 0.5:.4f}" for values in (self.ours, self.popular, pairs)
        ]
        hits = [f"{sum(v > 0 for v in values) / len(values):.4f}" for values in (self.ours, self.popular)]
        return f"| {known} | {len(pairs):,} | " + " | ".join([*cells, *hits]) + " |"


def gain(items: Sequence[str], target: str) -> float:
    """Return the NDCG of a list with one right item."""
    return 1 / log2(items.index(target) + 2) if target in items else 0.0


async def walk(tenant: Tenant, split: Split, most: int, seed: int) -> dict[int, Worth]:
    """Reveal and ask, in order of time."""
    reveal, seen = split.reveal, defaultdict[str, set[str]](set)
    before = set(split.known["user_id"].to_pylist())
    rows = list(zip(*(reveal[name].to_pylist() for name in ("user_id", "item_id", "timestamp")), strict=True))
    new = sorted({user for user, _, _ in rows} - before)
    asked = set(np.random.default_rng(seed).choice(new, min(most, len(new)), replace=False).tolist())
    engine = Engine(tenant, Metrics())
    await engine.open()
    popularity = PopularitySource()
    popularity.bind(engine.world, {})
    validator = EventValidator(tenant.app, engine.catalog, tenant.clock, 3650 * DAY)
    worth = {known: Worth() for known in KNOWN}
    ids = engine.catalog.ids
    for (user, item, now), body in zip(rows, event_bodies(reveal), strict=True):
        had = seen[user]
        if user in asked and len(had) in KNOWN and item not in had:
            query = Query(visitor_key(user, ""), now, user, page_size=K, limits=False, log=False, rules=False)
            served = await engine.recommend(query)
            popular = popularity.fetch(query, engine.world.hydrate(query.visitor, now), K + len(had))
            worth[len(had)].ours.append(gain([one.item_id for one in served.items], item))
            fresh = [ids[slot] for slot in popular.items.tolist() if ids[slot] not in had]
            worth[len(had)].popular.append(gain(fresh[:K], item))
        had.add(item)
        await engine.add_events(validator.validate(b"[" + body + b"]").records)
    await engine.close()
    return worth


def measure(data: Path, holdout: Holdout, trained: bool, most: int, seed: int) -> dict[int, Worth]:
    """Make a tenant of the first nine tenths, and walk through the rest."""
    dataset = load_dataset(data)
    split = next_event(dataset, holdout)
    with tempfile.TemporaryDirectory(prefix="nearline-") as temporary:
        folder = Path(temporary)
        settings = evaluation_settings(Settings(), folder)
        (folder / "app.py").write_text(app_source(dataset), encoding="utf-8")
        (folder / "nearline.toml").write_text(settings_toml(settings), encoding="utf-8")
        tenant = Tenant(load_app(folder / "app.py"), settings)
        import_dataset(tenant, dataset, split.known)
        if trained:
            train(Tenant(tenant.app, settings), say)
        return asyncio.run(walk(Tenant(tenant.app, settings), split, most, seed))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--holdout", choices=("test", "validation"), default="test", help="tune on validation only")
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--users", type=int, default=2000, help="new users asked about, drawn by seed")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="one line of means instead of the table")
    o = parser.parse_args()
    if not o.data.is_dir():
        raise SystemExit(f"there is no {o.data}; say where the data is with --data")
    worth = measure(o.data, o.holdout, o.train, o.users, o.seed)
    if o.json:
        print(json.dumps({known: [round(fmean(w.ours), 4), round(fmean(w.popular), 4)] for known, w in worth.items()}))
        return
    print(f"{machine()}\n\n{o.data.name}, {'a trained release' if o.train else 'no release yet'}\n")
    print("| known events | lists | NDCG@10 | of recent popularity | difference | HR@10 | of popularity |")
    print("| --- " * 7 + "|")
    for known, values in worth.items():
        print(values.line(known))


if __name__ == "__main__":
    main()
