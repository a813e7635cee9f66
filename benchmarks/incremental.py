"""Training on less: from the last release with the last days, on a sample of visitors, with fewer lessons; time and quality.

`python -m benchmarks.incremental --data ../shared/data/movietweetings-100k`. A release is trained on everything until T0, two
sevenths of the days before the end; then each row trains on what is known at the end (the sources before T0, the ranker until
T1, as always) and is asked for protocol C's lists by the code that serves. All rows have all state: less is learned from,
nothing is forgotten of visitors. Every training has a process of its own, with all kernels compiled before.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from benchmarks.table import machine, say
from nearline.app.load import load_app
from nearline.app.sections import Settings
from nearline.app.settings import settings_toml
from nearline.app.tenant import Tenant
from nearline.batch.dataset import Dataset, for_asking
from nearline.batch.importers import load_dataset
from nearline.batch.importing import import_dataset
from nearline.batch.metrics import estimate, hits_at, ndcg
from nearline.batch.protocols import Holdout, Split, next_event
from nearline.batch.splitting import TimeSplit
from nearline.batch.training import train
from nearline.embedded.evaluation import Plan, Timer, app_source, evaluation_settings, some_cases, walk
from nearline.embedded.systems import K, OfflineSystem
from nearline.schema.clock import DAY

T = TypeVar("T")
COMMAND = "python -m benchmarks.incremental"
TAUGHT = 7 / 30
"""Share of the last days that judges, and that teaches; the defaults of `[train]`."""

JUDGED = ("  release", "  popularity", "  in service", "  P(")
"""How lines begin that a training says last before it fits again."""


@dataclass(frozen=True, slots=True)
class Row:
    """A way to train.

    Attributes:
        name: what the table calls it.
        last: only the last days are learned from.
        goes_on: from the release of T0.
        visitors: share of them.
        examples: lessons of the ranker.
        seed: of all randomness.
    """

    name: str
    last: bool = False
    goes_on: bool = False
    visitors: float = 1.0
    examples: int = 16_000
    seed: int = 7


ROWS = (
    Row("everything"),
    Row("everything, another seed", seed=8),
    Row("everything, from the last release", goes_on=True),
    Row("last days, from the last release", last=True, goes_on=True),
    Row("last days alone", last=True),
    Row("50 % of visitors", visitors=0.5),
    Row("25 % of visitors", visitors=0.25),
    Row("10 % of visitors", visitors=0.1),
    Row("a fourth of the lessons", examples=4_000),
)


@dataclass(frozen=True, slots=True)
class Question:
    """What is measured on: a folder of data, protocol C's part, how many users, how many days are the last, and with `deep`?"""

    data: Path
    holdout: Holdout
    users: int
    days: float
    deep: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What a training came to: why it was refused or "", seconds in all, of processor time in all and of fitting, MiB at most,
    NDCG@10 of each list."""

    refused: str
    seconds: float
    processor: float
    fitting: float
    memory: float
    gains: NDArray[np.float64]


def times_of(split: Split, days: float, last: bool) -> TimeSplit:
    """Return when to fit, teach and judge."""
    ts = split.known["timestamp"].to_numpy()
    end, part = int(ts[-1]), int(TAUGHT * days * DAY)
    return TimeSplit(int(end - days * DAY) if last else int(ts.min()), end - 2 * part, end - part, end)


def tenant_of(q: Question, row: Row, dataset: Dataset, folder: Path) -> Tenant:
    """Return a tenant without events."""
    settings = evaluation_settings(Settings(), folder)
    own = msgspec.structs.replace(
        settings.train, seed=row.seed, visitors=row.visitors, examples=row.examples, deep=q.deep, warm_start=row.goes_on
    )
    settings = msgspec.structs.replace(settings, train=own)
    (folder / "app.py").write_text(app_source(dataset), encoding="utf-8")
    (folder / "nearline.toml").write_text(settings_toml(settings), encoding="utf-8")
    return Tenant(load_app(folder / "app.py"), settings)


def before_that(q: Question, folder: Path) -> Path:
    """Train the last release, on everything until T0; return the folder of its store."""
    dataset = for_asking(load_dataset(q.data))
    split = next_event(dataset, q.holdout)
    now = times_of(split, q.days, False)
    tenant = tenant_of(q, Row("the last release"), dataset, folder)
    import_dataset(tenant, dataset, split.known.filter(pc.less_equal(split.known["timestamp"], now.fitted)))
    part = now.end - now.taught
    times = TimeSplit(now.begin, now.fitted - 2 * part, now.fitted - part, now.fitted)
    tenant = Tenant(tenant.app, tenant.settings)
    outcome = train(tenant, say, times)
    if not outcome.published:
        raise SystemExit(f"the last release was refused: {outcome.manifest.gates}")
    return tenant.releases.folder


class _Fitting:
    """Adds up the processor time until sources are said to be fitted, for the first time and again."""

    def __init__(self) -> None:
        self.begun = self._last = time.process_time()
        self.seconds = 0.0

    def __call__(self, text: str) -> None:
        say(text)
        if text.startswith("sources fitted"):
            self.seconds += time.process_time() - self._last
        elif "to learn from" in text or text.startswith(JUDGED):
            self._last = time.process_time()


def measure(q: Question, row: Row, earlier: Path) -> Found:
    """Train, and ask."""
    dataset = for_asking(load_dataset(q.data))
    split = next_event(dataset, q.holdout)
    cases = some_cases(split.cases, q.users, 7)
    with tempfile.TemporaryDirectory(prefix="nearline-") as temporary:
        tenant = tenant_of(q, row, dataset, Path(temporary))
        import_dataset(tenant, dataset, split.known)
        tenant = Tenant(tenant.app, tenant.settings)
        shutil.copytree(earlier, tenant.releases.folder, dirs_exist_ok=True)
        fitting, begun = _Fitting(), time.perf_counter()
        outcome = train(tenant, fitting, times_of(split, q.days, row.last))
        took = time.perf_counter() - begun, time.process_time() - fitting.begun, fitting.seconds
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        if not outcome.published:
            reasons = "; ".join(f"{gate.name}: {gate.reason}" for gate in outcome.manifest.gates if not gate.passed)
            return Found(reasons, *took, memory, np.empty(0))
        system = OfflineSystem(Tenant(tenant.app, tenant.settings))
        try:
            lists, _ = walk(system, split, cases, Plan(q.data, "C", q.holdout, users=q.users), Timer(), say)
        finally:
            system.close()
    hits = hits_at([case.targets for case in cases], [one.items for one in lists], K)
    return Found("", *took, memory, ndcg(hits, np.ones(len(cases), np.int64)))


def apart(what: Callable[..., T], *given: object) -> T:
    """Return what a function does in a process of its own."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(what, *given).result()


def line(row: Row, found: Found, whole: Found) -> str:
    """Return a line of the table."""
    cells = [row.name, *(f"{value:,.1f}" for value in (found.seconds, found.processor, found.fitting)), f"{found.memory:,.0f}"]
    if found.refused:
        return f"| {' | '.join([*cells, f'refused: {found.refused}', ''])} |"
    own, less = estimate(found.gains), estimate(found.gains - whole.gains)
    cells.append(f"{own.mean:.4f} ± {own.error:.4f}")
    return f"| {' | '.join([*cells, f'{less.mean:+.4f} ± {less.error:.4f}' if found is not whole else ''])} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--holdout", choices=("test", "validation"), default="validation")
    parser.add_argument("--days", type=float, default=30, help="how many days are the last")
    parser.add_argument("--users", type=int, default=0, help="ask about so many users only; 0: all")
    parser.add_argument("--deep", action="store_true", help="with the sequence model")
    parser.add_argument("--rows", type=int, nargs="*", default=list(range(len(ROWS))), help="which, from 0; 0 is always asked")
    o = parser.parse_args()
    q = Question(o.data, o.holdout, o.users, o.days, o.deep)
    with tempfile.TemporaryDirectory(prefix="nearline-") as temporary:
        earlier = apart(before_that, q, Path(temporary))
        rows = [ROWS[place] for place in sorted({0, *o.rows})]
        found = []
        for row in rows:
            found.append(apart(measure, q, row, earlier))
            say(line(row, found[-1], found[0]))
    print(f"{o.data.name}, C/{o.holdout}, the last {o.days:g} days{', deep' if o.deep else ''}; {machine()}\n")
    print("| learned from | training s | processor s | of it fitting | MiB | NDCG@10 | against everything |")
    print("| --- " * 7 + "|")
    for row, own in zip(rows, found, strict=True):
        print(line(row, own, found[0]))


if __name__ == "__main__":
    main()
