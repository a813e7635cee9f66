"""What each source finds: candidate recall at its quota, alone and beside the others, on real data, without a ranker.

`python -m benchmarks.candidates --data FOLDER --protocol C`. Events are walked through in order; before each case every source
is asked for its quota, what the user has had is left out, and the item that he took then is looked for. "only here" is the
share of cases where no other source found it. Sources are the defaults of a homepage and those named with `--also`, whose
arguments may follow: `slim:neighbours=50`. Validation by default: sources are chosen by it.
"""

from __future__ import annotations

import argparse
import ast
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log2
from pathlib import Path
from statistics import fmean

import numpy as np
import pyarrow as pa

from benchmarks.table import machine, percentile, say
from nearline.app.load import load_app
from nearline.app.sections import Settings
from nearline.app.settings import settings_toml
from nearline.app.tenant import Tenant
from nearline.batch.dataset import for_asking
from nearline.batch.importers import load_dataset
from nearline.batch.importing import import_dataset
from nearline.batch.protocols import Split
from nearline.batch.replaying import Moment, replay
from nearline.embedded.evaluation import PROTOCOLS, app_source, evaluation_settings, some_cases
from nearline.pipeline.discovery import discover
from nearline.schema.candidates import I32
from nearline.schema.components import FitData, Source, UserState
from nearline.schema.ids import keys, visitor_key
from nearline.schema.query import Query
from nearline.stores.history import iter_records
from nearline.stores.timeline import timeline

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
LEFT_OUT = {"history", "searches", "editorial", "matching", "placed", "complements"}
"""They show what a visitor had, or answer to what these data sets do not have."""
K = 10


@dataclass(slots=True)
class Found:
    """What one source found.

    Attributes:
        place: of the target among what the user has not had, from 1, case by case; 0 where it is not there.
        seconds: of each question that it had an answer to.
        fit: seconds of learning.
    """

    place: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    fit: float = 0.0


def sources_of(tenant: Tenant, also: Sequence[str]) -> dict[str, Source]:
    """Return the sources asked, by what they are called in the table."""
    found: dict[str, Source] = {}
    for source in tenant.parts.sources:
        if "homepage" in getattr(source, "surfaces", ("homepage",)) and source.name not in LEFT_OUT:
            found[source.name] = source
    kinds = discover("nearline.sources", ("name", "fetch"))
    for text in also:
        name, _, given = text.partition(":")
        pairs = (pair.partition("=") for pair in given.split(",") if pair)
        found[text] = kinds[name](**{key: ast.literal_eval(value) for key, _, value in pairs})
    return found


def walked(tenant: Tenant, split: Split, sources: dict[str, Source], users: int, seed: int) -> dict[str, Found]:
    """Learn from what is known, then reveal and ask."""
    log = tenant.log(read_only=True)
    events = timeline(log, tenant.lake, tenant.kinds).events
    world = tenant.world(tuple(sources.values()))
    items = world.adopt(iter_records(log, tenant.lake, "item_events"))
    log.close()
    found, known = {name: Found() for name in sources}, split.known.num_rows
    past = FitData(events[:known], keys(item.item_id for item in items), int(events["ts"][known - 1]), seed)
    world.apply(events[:known])
    for name, source in sources.items():
        began = time.perf_counter()
        arrays = source.fit(past)
        found[name].fit = time.perf_counter() - began
        source.bind(world, arrays)
    had: dict[int, set[int]] = {}
    for user, item in zip(events["user"][:known].tolist(), events["item"][:known].tolist(), strict=True):
        had.setdefault(user, set()).add(item)
    done, cases = known, some_cases(split.cases, users, seed)
    moments = [
        Moment(known + case.revealed, Query(visitor_key(case.user_id, ""), case.now_ms, case.user_id), place)
        for place, case in enumerate(cases)
    ]
    for moment in replay(world, events, moments):
        for user, item in zip(*(events[name][done : moment.offset].tolist() for name in ("user", "item")), strict=True):
            had.setdefault(user, set()).add(item)
        done = moment.offset
        target = int(keys(cases[moment.label].targets)[0])
        own = world.item_slots(np.fromiter(had.get(moment.query.visitor, ()), np.uint64))
        state = world.hydrate(moment.query.visitor, moment.query.now)
        slot = int(world.item_slots(np.array([target], np.uint64))[0])
        for name, source in sources.items():
            began = time.perf_counter()
            got = _asked(source, moment.query, state)
            if len(got):
                found[name].seconds.append(time.perf_counter() - began)
            fresh = got[~np.isin(got, own)]
            at = np.flatnonzero(fresh == slot)
            found[name].place.append(int(at[0]) + 1 if len(at) else 0)
    return found


def _asked(source: Source, query: Query, user: UserState) -> I32:
    wanted = getattr(source, "wanted", None)
    fine = wanted is None or wanted(query, user)
    return source.fetch(query, user, source.quota).items if fine else np.empty(0, np.int32)


def lines(found: dict[str, Found], sources: dict[str, Source]) -> list[str]:
    """Return the table."""
    hit = {name: np.array(one.place) > 0 for name, one in found.items()}
    total = np.sum(list(hit.values()), axis=0)
    out = ["| source | quota | recall | only here | NDCG@10 alone | HR@10 alone | µs (median) | fit s |", "| --- " * 8 + "|"]
    for name, one in found.items():
        gains = [1 / log2(place + 1) if 0 < place <= K else 0.0 for place in one.place]
        cells = [
            f"`{name}`",
            str(sources[name].quota),
            f"{hit[name].mean():.4f}",
            f"{(hit[name] & (total == 1)).mean():.4f}",
            f"{fmean(gains):.4f}",
            f"{fmean(gain > 0 for gain in gains):.4f}",
            f"{percentile(one.seconds, 0.5) * 1e6:.0f}",
            f"{one.fit:.1f}",
        ]
        out.append(f"| {' | '.join(cells)} |")
    return [*out, "", f"jointly: {(total > 0).mean():.4f} of {len(total):,} cases"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="movietweetings-100k", help="folder, or its name in ../shared/data")
    parser.add_argument("--protocol", choices=("A", "C"), default="C")
    parser.add_argument("--holdout", choices=("test", "validation"), default="validation")
    parser.add_argument("--users", type=int, default=0, help="ask about so many only, drawn by seed; 0: all")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--also", nargs="*", default=[], help="more sources: name, or name:argument=value,...")
    parser.add_argument("--only", action="store_true", help="those of --also alone")
    o = parser.parse_args()
    folder = Path(o.data) if Path(o.data).is_dir() else DATA / o.data
    if not folder.is_dir():
        raise SystemExit(f"there is no {folder}; say where the data is with --data")
    dataset = for_asking(load_dataset(folder))
    split = PROTOCOLS[o.protocol](dataset, o.holdout)
    with tempfile.TemporaryDirectory(prefix="nearline-") as temporary:
        home = Path(temporary)
        settings = evaluation_settings(Settings(), home)
        (home / "app.py").write_text(app_source(dataset), encoding="utf-8")
        (home / "nearline.toml").write_text(settings_toml(settings), encoding="utf-8")
        tenant = Tenant(load_app(home / "app.py"), settings)
        import_dataset(tenant, dataset, pa.concat_tables([split.known, split.reveal]))
        tenant = Tenant(tenant.app, settings)
        sources = {name: one for name, one in sources_of(tenant, o.also).items() if not o.only or name in o.also}
        found = walked(tenant, split, sources, o.users, o.seed)
    say(f"{dataset.name}, {split.name}, {machine()}\n")
    print("\n".join(lines(found, sources)))


if __name__ == "__main__":
    main()
