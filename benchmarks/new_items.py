"""New items on real data: every so many items are held out of all that is known, and come with the part that is revealed.

`python -m benchmarks.new_items --data FOLDER`. Before an event on an item that was held out (protocol C) each way to find it is
asked, and the table says how often it did, by how many visitors the item has had by then: ALS as trained, ALS with vectors for
new items, attributes (`content`), and the other sources that move with events. With `--lists` nothing is held out: a release is
trained with such vectors and one without, both serve the same lists, and the table compares these.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import fmean

import msgspec
import numpy as np
import pyarrow as pa

from benchmarks.candidates import DATA
from benchmarks.incremental import apart
from benchmarks.table import machine, say
from nearline.app.load import load_app
from nearline.app.sections import ComponentSettings, Settings
from nearline.app.settings import settings_toml
from nearline.app.tenant import Tenant
from nearline.batch.dataset import for_asking
from nearline.batch.importers import load_dataset
from nearline.batch.importing import import_dataset
from nearline.batch.metrics import estimate, hits_at, ndcg
from nearline.batch.protocols import Holdout, next_event
from nearline.batch.training import train
from nearline.embedded.evaluation import (
    Plan,
    Timer,
    app_source,
    evaluation_settings,
    learn_from_all,
    some_cases,
    walk,
)
from nearline.embedded.systems import K, Listed, OfflineSystem
from nearline.schema.components import FitData, Source
from nearline.schema.ids import keys, visitor_key
from nearline.schema.query import Query
from nearline.sources.als import AlsSource
from nearline.sources.content import ContentSource
from nearline.sources.covisit import CovisitSource
from nearline.sources.trending import TrendingSource
from nearline.sources.walk import WalkSource
from nearline.stores.history import iter_records
from nearline.stores.timeline import timeline

BOUNDS = ((0, "0"), (1, "1 or 2"), (3, "3 to 9"), (10, "10 or more"))
RENEWED = 50
"""Events between two renewals of the vectors, which a server has about once a second."""


def measure(data: Path, holdout: Holdout, each: int, seed: int) -> dict[str, dict[str, list[bool]]]:
    """Return for each number of visitors, by source, whether it found the item."""
    dataset = for_asking(load_dataset(data))
    split = next_event(dataset, holdout)
    names = np.array(sorted(split.known["item_id"].unique().to_pylist()))
    out = set(np.random.default_rng(seed).choice(names, len(names) // each, replace=False).tolist())
    known = split.known.filter(pa.array([item not in out for item in split.known["item_id"].to_pylist()]))
    sources: dict[str, Source] = {
        "als as trained": AlsSource(),
        "als": AlsSource(),
        "content": ContentSource(),
        "walk": WalkSource(),
        "covisit": CovisitSource(),
        "trending": TrendingSource(),
    }
    with tempfile.TemporaryDirectory(prefix="nearline-") as temporary:
        folder = Path(temporary)
        settings = evaluation_settings(Settings(), folder)
        (folder / "app.py").write_text(app_source(dataset), encoding="utf-8")
        (folder / "nearline.toml").write_text(settings_toml(settings), encoding="utf-8")
        tenant = Tenant(load_app(folder / "app.py"), settings)
        import_dataset(tenant, dataset, pa.concat_tables([known, split.reveal]))
        tenant = Tenant(tenant.app, settings)
        log = tenant.log(read_only=True)
        events = timeline(log, tenant.lake, tenant.kinds).events
        world = tenant.world(tuple(sources.values()))
        items = world.adopt(iter_records(log, tenant.lake, "item_events"))
        log.close()
    n = known.num_rows
    world.apply(events[:n])
    past = FitData(events[:n], keys(item.item_id for item in items), int(events["ts"][n - 1]), seed)
    arrays = sources["als"].fit(past)
    for name, source in sources.items():
        own = dict(arrays) if "als" in name else {}
        if name == "als as trained":
            # Other vectors by a hair, or both would ask one index, with the new items in it.
            own = {"keys": own["keys"], "vectors": own["vectors"] * np.float32(1.001), "solve": own["solve"]}
        source.bind(world, own)
    had: dict[str, set[str]] = defaultdict(set)
    visitors: dict[str, set[str]] = defaultdict(set)
    for user, item in zip(known["user_id"].to_pylist(), known["item_id"].to_pylist(), strict=True):
        had[user].add(item)
    found: dict[str, dict[str, list[bool]]] = {bound: defaultdict(list) for _, bound in BOUNDS}
    renewed = -RENEWED
    rows = zip(*(split.reveal[name].to_pylist() for name in ("user_id", "item_id", "timestamp")), strict=True)
    for place, (user, item, now) in enumerate(rows):
        if item in out and item not in had[user] and had[user]:
            bound = next(text for least, text in reversed(BOUNDS) if len(visitors[item]) >= least)
            query = Query(visitor_key(user, ""), now, user)
            state = world.hydrate(query.visitor, now)
            for name, source in sources.items():
                if name.startswith("als") and place >= renewed + RENEWED:
                    source.renew(now)  # type: ignore[attr-defined]
                got = source.fetch(query, state, source.quota).items
                found[bound][name].append(item in {world.catalog.ids[slot] for slot in got.tolist()})
            renewed = place if place >= renewed + RENEWED else renewed
        world.apply(events[n + place : n + place + 1])
        had[user].add(item)
        visitors[item].add(user)
    return found


class _Renewing(OfflineSystem):
    """Renews what a server would renew about once a second, every so many lists."""

    _asked = 0

    def ask(self, user_id: str, now: int, rules: bool) -> Listed:
        """Ask the engine."""
        self._asked += 1
        if self._asked % RENEWED == 0:
            self._engine.recommender.pipeline.renew(now)
        return super().ask(user_id, now, rules)


def lists(data: Path, holdout: Holdout, users: int, seed: int, new_items: int) -> list[tuple[float, bool, float]]:
    """Train and ask; return of each list its NDCG@10, whether the right item was not known, and the milliseconds it took."""
    dataset = for_asking(load_dataset(data))
    split = next_event(dataset, holdout)
    cases = some_cases(split.cases, users, 7)
    known = set(split.known["item_id"].to_pylist())
    base, options = Settings(), ComponentSettings({"als": {"new_items": new_items}})
    train_so = msgspec.structs.replace(base.train, seed=seed, deep=False)
    with tempfile.TemporaryDirectory(prefix="nearline-") as temporary:
        folder = Path(temporary)
        settings = evaluation_settings(learn_from_all(base, split.known), folder)
        settings = msgspec.structs.replace(
            settings,
            components=options,
            train=msgspec.structs.replace(train_so, days=settings.train.days, evaluate_days=settings.train.evaluate_days),
        )
        (folder / "app.py").write_text(app_source(dataset), encoding="utf-8")
        (folder / "nearline.toml").write_text(settings_toml(settings), encoding="utf-8")
        tenant = Tenant(load_app(folder / "app.py"), settings)
        import_dataset(tenant, dataset, split.known)
        if not train(Tenant(tenant.app, settings), say).published:
            raise SystemExit("the release was refused")
        system = _Renewing(Tenant(tenant.app, settings))
        try:
            found, _ = walk(system, split, cases, Plan(data, "C", holdout), Timer(), say)
        finally:
            system.close()
    gains = ndcg(hits_at([case.targets for case in cases], [one.items for one in found], K), np.ones(len(cases), np.int64))
    return [
        (float(gain), not case.targets & known, 1e3 * one.seconds) for gain, case, one in zip(gains, cases, found, strict=True)
    ]


def compared(without: list[tuple[float, bool, float]], own: list[tuple[float, bool, float]]) -> str:
    """Return lines of the table: all lists, and those whose right item was not known."""
    (a, new, slow), (b, _, fast) = (tuple(np.array(column) for column in zip(*some, strict=True)) for some in (without, own))
    lines = []
    for name, some in (("all", np.ones(len(a), np.bool_)), ("of new items", new)):
        if not some.any():
            continue
        pairs = (a[some], b[some], b[some] - a[some])
        hits = (a[some] > 0, b[some] > 0, (b[some] > 0).astype(float) - (a[some] > 0))
        cells = [f"{e.mean:.4f} ± {e.error:.4f}" for e in map(estimate, (*pairs, *hits))]
        cells += [f"{np.median(ms[some]):.2f}" for ms in (slow, fast)]
        lines.append(f"| {name} | {int(some.sum()):,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="movietweetings-100k", help="folder, or its name in ../shared/data")
    parser.add_argument("--holdout", choices=("test", "validation"), default="test")
    parser.add_argument("--each", type=int, default=10, help="one item in so many is held out")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--lists", action="store_true", help="compare whole lists")
    parser.add_argument("--users", type=int, default=0, help="with --lists: ask about so many users only; 0: all")
    o = parser.parse_args()
    folder = Path(o.data) if Path(o.data).is_dir() else DATA / o.data
    if not folder.is_dir():
        raise SystemExit(f"there is no {folder}; say where the data is with --data")
    if o.lists:
        both = [apart(lists, folder, o.holdout, o.users, o.seed, n) for n in (0, 20_000)]
        print(f"{folder.name}, C/{o.holdout}, seed {o.seed}, {machine()}\n")
        sides = "without | with | difference"
        print(f"| lists | how many | NDCG@10 {sides} | HR@10 {sides} | p50 ms without | with |")
        print(f"{'| --- ' * 10}|\n{compared(*both)}")
        return
    found = measure(folder, o.holdout, o.each, o.seed)
    names = list(next(own for own in found.values() if own))
    print(f"{folder.name}, one item in {o.each} held out, {machine()}\n")
    print(f"| visitors so far | events | {' | '.join(names)} |\n{'| --- ' * (len(names) + 2)}|")
    for bound, own in found.items():
        if own:
            cells = [f"{fmean(own[name]):.3f}" for name in names]
            print(f"| {bound} | {len(own[names[0]]):,} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
