"""What the cold start programs share: a tenant of known events, its engine in this process, and what lists were worth."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import log2
from pathlib import Path
from statistics import fmean

import pyarrow as pa

from benchmarks.table import say
from nearline.app.load import load_app
from nearline.app.settings import load_settings, settings_toml
from nearline.app.tenant import Tenant
from nearline.batch.dataset import Dataset
from nearline.batch.importing import import_dataset
from nearline.batch.metrics import estimate
from nearline.batch.popularity import PopularitySource
from nearline.batch.training import train
from nearline.embedded.engine import Engine
from nearline.embedded.evaluation import app_source, evaluation_settings, learn_from_all
from nearline.schema.clock import DAY
from nearline.schema.event import Record
from nearline.schema.ids import visitor_key
from nearline.schema.query import Query
from nearline.serving.metrics import Metrics
from nearline.serving.validate import EventValidator

K = 10
IDEAL = [1 / log2(place + 2) for place in range(K)]


@dataclass(slots=True)
class Worth:
    """NDCG@10 of each list, ours and by popularity, and how far ours reach."""

    ours: list[float] = field(default_factory=list)
    popular: list[float] = field(default_factory=list)
    reach: list[str] = field(default_factory=list)

    def add(self, items: Sequence[str], popular: Sequence[str], targets: set[str], reach: str) -> None:
        """Add a pair of lists."""
        self.ours.append(gain(items, targets))
        self.popular.append(gain(popular, targets))
        self.reach.append(reach)

    def line(self, name: str) -> str:
        """Return a line of the table; the difference has the error of its pairs."""
        pairs = [a - b for a, b in zip(self.ours, self.popular, strict=True)]
        found = [estimate(values) for values in (self.ours, self.popular, pairs)]
        cells = [f"{one.mean:.4f} ± {one.error:.4f}" for one in found[:2]] + [f"{found[2].mean:+.4f} ± {found[2].error:.4f}"]
        cells += [f"{fmean(value > 0 for value in values):.4f}" for values in (self.ours, self.popular)]
        shares = ", ".join(f"{name} {self.reach.count(name) / len(pairs):.1%}" for name in sorted(set(self.reach)))
        return f"| {name} | {len(pairs):,} | {' | '.join(cells)} | {shares} |"


HEAD = "lists | NDCG@10 | of recent popularity | difference | HR@10 | of popularity | reach |\n" + "| --- " * 8 + "|"
"""Of a table of `Worth.line`, after the name of its first column."""


def gain(items: Sequence[str], targets: set[str]) -> float:
    """Return the NDCG@10 of a list."""
    return sum(IDEAL[place] for place, item in enumerate(items[:K]) if item in targets) / sum(IDEAL[: len(targets)])


@contextmanager
def tenant_of(dataset: Dataset, known: pa.Table, trained: bool = True, extra: str = "") -> Iterator[Tenant]:
    """Give a tenant of known events in a folder of its own.

    Args:
        known: its history; the catalogue is the dataset's.
        trained: whether a release is trained on it, by the settings (`NEARLINE_...` in the environment).
        extra: a source beside the defaults, "module:Class"; "" for none.
    """
    with tempfile.TemporaryDirectory(prefix="nearline-") as temporary:
        folder = Path(temporary)
        settings = evaluation_settings(learn_from_all(load_settings(None, os.environ), known), folder)
        (folder / "app.py").write_text(_with(app_source(dataset), extra, settings.train.deep), encoding="utf-8")
        (folder / "nearline.toml").write_text(settings_toml(settings), encoding="utf-8")
        tenant = Tenant(load_app(folder / "app.py"), settings)
        import_dataset(tenant, dataset, known)
        if trained:
            train(Tenant(tenant.app, settings), say)
        yield Tenant(tenant.app, settings)


def _with(source: str, extra: str, deep: bool) -> str:
    if not extra:
        return source
    module, kind = extra.split(":")
    imports = f"from nearline.app.defaults import default_sources\nfrom {module} import {kind}\n"
    named = source.replace("from nearline import", f"{imports}from nearline import")
    # The setting leaves deep sources out of the defaults only, not out of what an application names.
    chosen = "*default_sources()" if deep else "*(each for each in default_sources() if not getattr(each, 'deep', False))"
    return named.replace("    events=[", f"    sources=[{chosen}, {kind}()],\n    events=[", 1)


class Shop:
    """The code that serves, in this process, and what has been popular in the last days beside it."""

    def __init__(self, tenant: Tenant) -> None:
        self._loop = asyncio.new_event_loop()
        self.engine = Engine(tenant, Metrics())
        self._loop.run_until_complete(self.engine.open())
        self._popularity = PopularitySource()
        self._popularity.bind(self.engine.world, {})
        self._validator = EventValidator(tenant.app, self.engine.catalog, tenant.clock, 3650 * DAY)
        self.shown: set[str] = set()
        self.popular_shown: set[str] = set()

    @property
    def size(self) -> int:
        """How many items the catalogue has."""
        return len(self.engine.catalog.items)

    def coverage(self) -> str:
        """Return the share of the catalogue that stood in some list, in words."""
        ours, popular = (len(shown) / self.size for shown in (self.shown, self.popular_shown))
        return f"shown of {self.size:,} items: {ours:.1%}, by recent popularity {popular:.1%}"

    def query(self, user: str, now: int, n: int = K) -> Query:
        """Return a question for n items, nothing limited, logged or arranged."""
        return Query(visitor_key(user, ""), now, user, page_size=n, limits=False, log=False, rules=False)

    def ask(self, query: Query) -> tuple[list[str], str]:
        """Return a list and how far it reaches."""
        served = self._loop.run_until_complete(self.engine.recommend(query))
        items = [one.item_id for one in served.items]
        self.shown.update(items)
        return items, self.engine.recommender.pipeline.reach({one.rec_source for one in served.items})

    def popular(self, query: Query, without: set[str]) -> list[str]:
        """Return what has been popular in the last days, without what the visitor had."""
        user = self.engine.world.hydrate(query.visitor, query.now)
        found = self._popularity.fetch(query, user, query.page_size + len(without)).items.tolist()
        ids = self.engine.catalog.ids
        items = [ids[slot] for slot in found if ids[slot] not in without][: query.page_size]
        self.popular_shown.update(items)
        return items

    def send(self, body: bytes) -> None:
        """Check an event's JSON, store and fold it."""
        self.add(self._validator.validate(b"[" + body + b"]").records)

    def add(self, records: Sequence[Record]) -> None:
        """Store and fold records."""
        self._loop.run_until_complete(self.engine.add_events(records))

    def close(self) -> None:
        """Close the engine."""
        self._loop.run_until_complete(self.engine.close())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
