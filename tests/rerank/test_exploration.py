"""Exploration: what is logged as probability is how often it happens, and an estimate made with it is right in the mean."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from nearline.app.binding import build_pipeline
from nearline.app.definition import App
from nearline.app.sections import Budget, CandidateLimits, RuleSettings, Settings, Storage
from nearline.app.tenant import Tenant
from nearline.rerank.exploration import ExplorationRule
from nearline.schema.candidates import Arranged, Candidates, Ranked
from nearline.schema.clock import DAY
from nearline.schema.item import Item
from nearline.schema.query import Query
from nearline.schema.served import Impression, Served
from nearline.serving.recommender import Recommender
from nearline.sources.trending import TrendingSource
from nearline.stores.catalog import Catalog
from nearline.stores.state import MemoryState
from nearline.stores.world import OnlineWorld

NOW = 1_700_000_000_000
SERVED = 20_000
SIZE = 10


def recommender(folder: Path, share: float = 0.2) -> Recommender:
    """Thirty items of ten categories, of which everybody gets the same ten but for chance."""
    settings = Settings(
        storage=Storage(path=str(folder)),
        budget=Budget(20_000, 20_000, 20_000, 20_000, 20_000),
        candidates=CandidateLimits(quota={}),
        rules=RuleSettings(exploration=share, diversity=0.0),
    )
    tenant = Tenant(App(events=["click"], sources=[TrendingSource()]), settings)
    world = tenant.world()
    world.catalog.put([Item(f"i{n}", category=f"c{n % 10}" if n % 7 else "", created_at=NOW - n * DAY) for n in range(30)])
    return Recommender(tenant, world, build_pipeline(tenant, world, {}))


def asked(made: Recommender, **given: object) -> tuple[Served, Impression | None]:
    query = Query(1, NOW, user_id="u", page_size=SIZE, **given)  # type: ignore[arg-type]
    run = made.start(query)
    assert made.pipeline.advance(run)
    served, record = made.finish(run, made.pipeline)
    return served, None if record is None else msgspec.json.decode(record.context, type=Impression)


def test_logged_propensities_are_frequencies_and_weigh_without_bias(tmp_path: Path) -> None:
    made = recommender(tmp_path)
    plain, _ = asked(made, log=False)
    due = [item.item_id for item in plain.items]
    shown = np.zeros((SIZE, 30))
    said: NDArray[np.float64] = np.full((SIZE, 30), np.nan)
    # A reward that hangs on item and rank; two policies whose mean reward is known: the list as it was due, and one that
    # shows at each rank whatever stood there when its place was drawn.
    reward = np.random.default_rng(1).random((SIZE, 30))
    of_due, of_drawn = np.empty(SERVED), np.empty(SERVED)
    ranks = np.arange(SIZE)
    for seed in range(1, SERVED + 1):
        served, impression = asked(made, seed=seed)
        assert impression is not None
        at = np.array([int(item[1:]) for item in impression.items])
        propensity = np.array(impression.propensities)
        shown[ranks, at] += 1
        known = said[ranks, at]
        assert ((known == propensity) | np.isnan(known)).all(), "the same state, the same probability"
        said[ranks, at] = propensity
        drawn = np.array([item != was for item, was in zip(impression.items, due, strict=True)])
        assert impression.explored == (np.flatnonzero(drawn) + 1).tolist()
        kinds = [item.explanation.type for item in served.items]
        assert [kind == "exploration" for kind in kinds] == drawn.tolist()
        of_due[seed - 1] = (reward[ranks, at] * ~drawn / propensity).sum()
        of_drawn[seed - 1] = (reward[ranks, at] * drawn / propensity).sum()
    frequency = shown / SERVED
    happened = shown > 0
    # Whatever can happen has: the probabilities of each rank are of one distribution.
    assert np.nansum(said, axis=1) == pytest.approx(np.ones(SIZE), abs=1e-5)
    chance = happened & (said < 1)
    deviation = (shown - SERVED * said)[chance] / np.sqrt(SERVED * said * (1 - said))[chance]
    assert np.abs(deviation).max() < 5
    # Over all cells, about standard normal.
    assert np.mean(deviation**2) == pytest.approx(1, abs=5 * np.sqrt(2 / chance.sum()))
    assert frequency[~chance & happened] == pytest.approx(1)
    explored = sum(frequency[rank, item] for rank, item in np.argwhere(happened) if f"i{item}" != due[rank])
    assert explored / SIZE == pytest.approx(0.2, abs=0.01), "the share of places that the setting names"
    truth = sum(reward[rank, int(item[1:])] for rank, item in enumerate(due))
    assert abs(of_due.mean() - truth) < 5 * of_due.std() / np.sqrt(SERVED)
    pool = [item for item in range(30) if happened[:, item].any() and f"i{item}" not in due]
    free = [rank for rank in range(SIZE) if happened[rank, pool].any()]
    truth = sum(reward[rank, pool].sum() for rank in free)
    assert abs(of_drawn.mean() - truth) < 5 * of_drawn.std() / np.sqrt(SERVED)


def test_the_same_visitor_gets_the_same_draw_all_day_and_whoever_measures_gets_none(tmp_path: Path) -> None:
    made = recommender(tmp_path, share=0.5)
    first, impression = asked(made)
    again, _ = asked(made)
    assert impression is not None
    assert impression.explored
    assert [item.item_id for item in first.items] == [item.item_id for item in again.items]
    due, none = asked(made, log=False)
    assert none is None
    assert {item.explanation.type for item in due.items} == {"trending"}
    for measuring in ({"limits": False}, {"log": False}, {"rules": False}):
        served, _ = asked(made, **measuring)
        assert {item.explanation.type for item in served.items} == {"trending"}
    # The last rung repeats the visitor's own list, without what was drawn for one time.
    fallen = made.start(Query(1, NOW, user_id="u", page_size=SIZE))
    served, _ = made.finish(fallen, made.pipeline)
    assert served.served_from == "last_list"
    assert [item.item_id for item in served.items] == [item.item_id for item in due.items]


def test_nothing_explores_where_no_impression_is_kept(tmp_path: Path) -> None:
    settings = Settings(storage=Storage(path=str(tmp_path)))
    for log, share in ((True, 0.1), (False, 0.0)):
        changed = msgspec.structs.replace(settings, impressions=msgspec.structs.replace(settings.impressions, log=log))
        rules = Tenant(App(events=["click"]), changed).parts.rules
        assert [rule.share for rule in rules if isinstance(rule, ExplorationRule)] == [share]


def arranged(categories: list[str], rule: ExplorationRule, seed: int, held: list[int] | None = None) -> tuple[Arranged, int]:
    """Explore a list of twenty of these items, in order."""
    state = MemoryState([])
    world = OnlineWorld(state, Catalog(state))
    world.catalog.put([Item(f"i{n}", category=category) for n, category in enumerate(categories)])
    n = len(categories)
    none = np.zeros((n, 1), np.float32)
    candidates = Candidates(np.arange(n, dtype=np.int32), none, none, np.zeros(n, np.int32), np.full(n, -1, np.int32))
    holds = None if held is None else np.isin(np.arange(n), held)
    rule.bind(world)
    ranked = Ranked(candidates, np.linspace(1, 0, n, dtype=np.float32), held=holds)
    out = rule.arrange(Query(1, NOW, seed=seed), state.hydrate(1, NOW), ranked, 20)
    assert isinstance(out, Arranged)
    assert sorted(out.places.tolist()) == list(range(n))
    assert out.explored is not None
    return out, int(out.explored[:20].sum())


@pytest.mark.parametrize("kinds", [1, 3, 7, 30])
def test_cap_breadth_and_held_places_hold_whatever_is_drawn(kinds: int) -> None:
    rule = ExplorationRule(0.5, pool=12)
    names = [f"c{n % kinds}" for n in range(60)]
    before = {name: names[:20].count(name) for name in names}
    held = [0, 6, 7, 19, 20, 21, 40]
    most = 0
    for seed in range(1, 100):
        out, explored = arranged(names, rule, seed, held)
        most = max(most, explored)
        page = out.places[:20].tolist()
        assert [page[place] for place in held[:4]] == held[:4]
        assert not set(page) & set(held[4:]), "what is held back stays out"
        found = [names[place] for place in page]
        assert all(found.count(name) <= max(5, before[name]) for name in found)
        assert len(set(found)) >= min(5, kinds)
    assert most == (0 if kinds in (1, 3) else 12)


def test_other_categories_and_new_items_are_drawn_first() -> None:
    names = ["a"] * 20 + ["b"] * 5 + ["c"] * 5 + ["d"] * 30
    drawn = {
        place for seed in range(1, 200) for place in arranged(names, ExplorationRule(0.5, pool=3), seed)[0].places[:20].tolist()
    }
    assert drawn - set(range(20)) == {20, 25, 30}


def test_little_to_draw_from_is_drawn_from_the_lowest_places() -> None:
    names = [f"c{n}" for n in range(22)]
    for seed in range(1, 50):
        out, explored = arranged(names, ExplorationRule(0.1), seed)
        assert explored <= 2
        assert out.propensities is not None
        assert out.propensities[:18].tolist() == [1.0] * 18
