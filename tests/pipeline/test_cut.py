"""How many candidates are ranked: no more than anything looks at."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, cast

import msgspec
import numpy as np

from nearline.app.binding import build_pipeline
from nearline.app.definition import App
from nearline.app.sections import Budget, CandidateLimits, Settings, Storage
from nearline.app.tenant import Tenant
from nearline.pipeline.pipeline import Pipeline
from nearline.pipeline.run import Run
from nearline.schema.candidates import F32, Retrieved
from nearline.schema.components import Arrays, Fold, Ranker, Stateful, UserState
from nearline.schema.conditions import Condition
from nearline.schema.declared import Declaration
from nearline.schema.item import Item
from nearline.schema.page import Page, Row
from nearline.schema.query import Query
from nearline.schema.rules import Boost, Rule, checked_rule

NOW, ITEMS = 1_700_000_000_000, 600


class EverythingSource:
    """The whole catalogue, in order of arrival."""

    name = "everything"
    reason: ClassVar[str] = "popular"
    template: ClassVar[str] = "All"
    quota = 500
    time_based = False
    folds: tuple[Fold, ...] = ()
    state: tuple[Stateful, ...] = ()
    asked: ClassVar[list[int]] = []

    def fit(self, data: object) -> Arrays:
        return {}

    def bind(self, world: Any, arrays: Arrays) -> None:
        pass

    def fetch(self, query: Query, user: UserState, limit: int) -> Retrieved:
        self.asked.append(limit)
        items = np.arange(limit, dtype=np.int32)
        return Retrieved(items, 1.0 / (1.0 + items.astype(np.float32)), np.full(limit, -1, np.int32))


class LevelRanker:
    """Finds all candidates alike."""

    def score(self, matrix: F32) -> F32:
        return np.full((1, matrix.shape[1]), 0.5, np.float32)


def test_what_nothing_looks_at_is_not_ranked_and_what_may_be_lifted_is(tmp_path: Path) -> None:
    settings = Settings(
        storage=Storage(path=str(tmp_path)),
        budget=Budget(20_000, 1_000, 1_000, 1_000, 1_000),
        candidates=CandidateLimits(quota={}, ranked=450),
    )
    tenant = Tenant(App(events=["click"], sources=[EverythingSource()]), settings)
    world = tenant.world()
    world.catalog.put([Item(f"i{n}", category=f"c{n % 7}", tags=("far",) if n == 440 else ()) for n in range(ITEMS)])
    built = build_pipeline(tenant, world, {})
    pipeline = Pipeline(
        world, built.sources, built.features, cast(Ranker, LevelRanker()), None, built.filters, built.adjustments,
        built.arrangements, np.ones(1, np.float32), built.limits, built.breakers,
    )  # fmt: skip

    def ranked(**asked: Any) -> tuple[int, int]:
        """Return how many were ranked, and which item is first."""

        run = Run(Query(1, NOW, **asked), len(pipeline.sources))
        assert pipeline.advance(run)
        assert not run.missing
        assert run.candidates is not None
        first = -1 if run.ranked is None else int(run.ranked.candidates.items[0])
        return len(run.candidates), first

    assert ranked()[0] == 200
    assert ranked(page_size=30)[0] == 300
    assert ranked(rows=Page((Row("you"),)))[0] == 450
    assert set(EverythingSource.asked) == {450}
    boost = checked_rule(Rule(name="up", action=Boost(50.0), where=[Condition("tags", "in", ("far",))]), world.attributes.kinds)
    world.declared.put(Declaration("rule", "up", msgspec.json.encode(boost).decode()))
    assert ranked() == (450, 440)
    assert ranked(rules=False)[0] == 200
