"""Components that raise, hang or talk nonsense: the list comes in time, is never empty, and says what was missing."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from server_process import APP, Server
from server_process import items as bodies

from nearline.app.definition import App
from nearline.app.sections import Budget, Settings, Storage
from nearline.app.tenant import Tenant
from nearline.embedded.engine import Engine
from nearline.features.totals import ItemTotalsFeature
from nearline.pipeline.pipeline import Pipeline
from nearline.rerank.available import ExcludedFilter
from nearline.schema.candidates import F32, I32, Candidates, Ranked, Retrieved
from nearline.schema.components import (
    Arrays,
    Examples,
    FitData,
    Fold,
    ItemColumns,
    ItemFeature,
    ReadContext,
    Rows,
    Stateful,
    UserState,
    World,
)
from nearline.schema.errors import NearlineError
from nearline.schema.event import Record
from nearline.schema.ids import key
from nearline.schema.item import Item
from nearline.schema.query import Query
from nearline.schema.served import Served
from nearline.serving.metrics import Metrics
from nearline.sources.trending import TrendingSource

# Six times the default: on two busy cores a stall would count as the component's.
BUDGET = Budget(300, 60, 30, 120, 30, breaker_failures=3, breaker_seconds=0.8)
LATE = 3.0
"""Seconds, loosely; a component that hangs does so for 5 or for ever."""

Action = Callable[[], Any]


class Fault:
    """What a component does; `None`: its work."""

    def __init__(self) -> None:
        self.act: Action | None = None
        self.calls = 0
        self.release = threading.Event()

    def __call__(self) -> Any:
        self.calls += 1
        return self.act() if self.act is not None else None

    def sleeps(self) -> None:
        self.release.wait(5.0)

    def never_returns(self) -> None:
        while not self.release.is_set():
            time.sleep(0.01)

    def raises(self) -> None:
        raise RuntimeError("out of order")


class FaultySource:
    name = "faulty_source"
    quota = 50
    time_based = False
    reason: ClassVar[str] = "trending"
    template: ClassVar[str] = "Trending"
    folds: tuple[Fold, ...] = ()
    state: tuple[Stateful, ...] = ()

    def __init__(self, name: str, fault: Fault) -> None:
        self.name, self.fault = name, fault

    def fit(self, data: FitData) -> Arrays:
        return {}

    def bind(self, world: World, arrays: Arrays) -> None:
        self.world = world

    def fetch(self, query: Query, user: UserState, limit: int) -> Retrieved:
        given = self.fault()
        if given is not None:
            assert isinstance(given, Retrieved)
            return given
        slots = np.flatnonzero(self.world.columns.available).astype(np.int32)[:limit]
        return Retrieved(slots, np.linspace(1, 0.5, len(slots), dtype=np.float32), np.full(len(slots), -1, np.int32))


class FaultyFeature:
    name = "faulty_feature"
    columns = ("faulty",)
    folds: tuple[Fold, ...] = ()
    time_based = False

    def __init__(self, fault: Fault) -> None:
        self.fault = fault

    def read(self, context: ReadContext, out: F32) -> None:
        self.fault()
        out[0] = context.candidates.items


class FaultyItemFeature(ItemFeature):
    name = "faulty_item"
    columns = ("faulty_item",)
    folds: tuple[Fold, ...] = ()
    time_based = False

    def __init__(self, fault: Fault) -> None:
        self.fault = fault

    def read_items(self, rows: Mapping[str, Rows], columns: ItemColumns, slots: I32, now: int, out: F32) -> None:
        self.fault()
        out[0] = slots


class FaultyRanker:
    name = "faulty_ranker"

    def __init__(self, fault: Fault) -> None:
        self.fault = fault

    def fit(self, examples: Examples, seed: int) -> Arrays:
        return {}

    def load(self, arrays: Arrays) -> None: ...

    def score(self, columns: F32) -> F32:
        given = self.fault()
        if given is not None:
            return np.full((2, columns.shape[1]), given, np.float32)
        # The greatest slot first, so that its work is told from retrieval's order; NaN where the feature is missing.
        return (np.nan_to_num(columns[-1:], nan=0.0).repeat(2, axis=0) / 1000).astype(np.float32)


class FaultyFilter:
    name = "faulty_filter"
    essential = True

    def __init__(self, fault: Fault) -> None:
        self.fault = fault

    def bind(self, world: World) -> None: ...

    def keep(self, query: Query, user: UserState, candidates: Candidates) -> NDArray[np.bool_]:
        given = self.fault()
        return given if given is not None else np.ones(len(candidates), np.bool_)


class FaultyRule:
    name = "faulty_rule"

    def __init__(self, fault: Fault) -> None:
        self.fault = fault

    def bind(self, world: World) -> None: ...

    def arrange(self, query: Query, user: UserState, ranked: Ranked, size: int) -> I32:
        given = self.fault()
        return given if given is not None else np.arange(len(ranked.scores), dtype=np.int32)


class FaultyAdjustment:
    name = "faulty_adjustment"

    def __init__(self, fault: Fault) -> None:
        self.fault = fault

    def bind(self, world: World) -> None: ...

    def adjust(self, query: Query, user: UserState, candidates: Candidates, scores: F32) -> F32:
        given = self.fault()
        return given(scores) if given is not None else scores


class House:
    """An engine whose every component can be broken."""

    def __init__(self, folder: Path) -> None:
        self.faults = {n: Fault() for n in ("one", "two", "feature", "item", "ranker", "light", "filter", "rule", "adjustment")}
        faults = self.faults
        app = App(
            events=["view", "click", "purchase"],
            features=[FaultyFeature(faults["feature"]), ItemTotalsFeature(), FaultyItemFeature(faults["item"])],
            sources=[FaultySource("one", faults["one"]), FaultySource("two", faults["two"])],
            ranker=FaultyRanker(faults["ranker"]),
            rules=[
                ExcludedFilter(),
                FaultyFilter(faults["filter"]),
                FaultyAdjustment(faults["adjustment"]),
                FaultyRule(faults["rule"]),
            ],
        )
        self.tenant = Tenant(app, Settings(storage=Storage(path=str(folder)), budget=BUDGET))
        self.engine = Engine(self.tenant, Metrics())

    async def open(self, n: int = 30, ranked: bool = True) -> None:
        await self.engine.open()
        if n:
            await self.engine.put_items([Item(f"i{k}", category=f"c{k % 3}") for k in range(n)])
        if ranked:
            # As a release would bring them; the light ranker can be broken too.
            old = self.engine.recommender.pipeline
            ranker, light = FaultyRanker(self.faults["ranker"]), FaultyRanker(self.faults["light"])
            self.engine.recommender.pipeline = Pipeline(
                old.world, old.sources, old.features, ranker, light, old.filters, old.adjustments, old.arrangements,
                old.weights, old.limits, old.breakers, "r000001",
            )  # fmt: skip

    async def close(self) -> None:
        for fault in self.faults.values():
            fault.release.set()
        await self.engine.close()

    async def list(self, user: str = "u", **query: Any) -> Served:
        began = time.monotonic()
        asked = Query(key(user), self.engine.clock.now(), user_id=user, page_size=5, **query)
        served = await self.engine.recommend(asked)
        assert time.monotonic() - began < LATE
        msgspec.json.encode(served)
        assert all(np.isfinite(item.score) and item.score > -1e29 for item in served.items)
        return served

    async def event(self, user: str, item: str, category: str = "") -> None:
        now = self.engine.clock.now()
        await self.engine.add_events([Record("", "click", user, item, now, now, category=category)])


Story = Callable[[House], Awaitable[None]]


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., None]:
    def run(story: Story, **options: Any) -> None:
        async def scene() -> None:
            house = House(tmp_path)
            await house.open(**options)
            try:
                await story(house)
            finally:
                await house.close()

        asyncio.run(scene())

    return run


@pytest.mark.parametrize("how", ["sleeps", "never_returns", "raises"])
@pytest.mark.parametrize(
    ("part", "name", "served_from"),
    [
        ("one", "source:one", "ranker"),
        ("feature", "feature:faulty_feature", "ranker"),
        ("ranker", "ranker", "light_ranker"),
        ("filter", "filter:faulty_filter", "ranker"),
        ("rule", "rule:faulty_rule", "ranker"),
        ("adjustment", "rule:faulty_adjustment", "ranker"),
    ],
)
def test_one_broken_component_costs_itself_alone(
    play: Callable[..., None], part: str, name: str, served_from: str, how: str
) -> None:
    async def story(house: House) -> None:
        well = await house.list()
        assert (well.served_from, well.missing, well.model_version) == ("ranker", (), "r000001")
        fault = house.faults[part]
        fault.act = getattr(fault, how)
        calls = fault.calls
        for _ in range(BUDGET.breaker_failures):
            served = await house.list()
            assert name in served.missing
            assert served.served_from == served_from
            assert len(served.items) == 5
        assert fault.calls == calls + BUDGET.breaker_failures
        # Now the breaker is open: nobody waits for it any more.
        for _ in range(5):
            served = await house.list()
            assert name in served.missing
            assert served.served_from == served_from
        assert fault.calls == calls + BUDGET.breaker_failures
        # Mended, it comes back after the pause, and so do its threads.
        fault.act = None
        fault.release.set()
        await asyncio.sleep(BUDGET.breaker_seconds + 0.1)
        served = await house.list()
        assert (served.served_from, served.missing) == ("ranker", ())
        assert house.engine._worker.lost == 0

    play(story)


def test_an_adjustment_sees_every_candidate_and_moves_the_list_whatever_ranked_it(play: Callable[..., None]) -> None:
    async def story(house: House) -> None:
        fault = house.faults["adjustment"]
        for broken, served_from in (
            (None, "ranker"),
            (house.faults["ranker"], "light_ranker"),
            (house.faults["light"], "retrieval"),
        ):
            if broken is not None:
                broken.act = broken.raises
            fault.act = None
            well = await house.list()
            assert well.served_from == served_from
            whole = (await house.list(debug=True, rules=False)).items
            fault.act = lambda: lambda scores: -scores
            turned = await house.list()
            assert turned.served_from == served_from
            assert turned.items[0].item_id != whole[0].item_id
            assert [item.score for item in turned.items] == sorted((item.score for item in turned.items), reverse=True)
            for wrong in (lambda scores: scores * np.nan, lambda scores: scores[1:]):
                fault.act = lambda wrong=wrong: wrong
                served = await house.list()
                assert "rule:faulty_adjustment" in served.missing
                assert [item.item_id for item in served.items] == [item.item_id for item in well.items]
            fault.act = None
            await asyncio.sleep(BUDGET.breaker_seconds + 0.1)

    play(story, n=500)


@pytest.mark.parametrize("how", ["sleeps", "never_returns", "raises"])
def test_a_broken_item_feature_costs_its_own_columns_and_only_of_what_has_changed(play: Callable[..., None], how: str) -> None:
    async def story(house: House) -> None:
        def changed() -> None:
            house.engine.world.state.mark(np.arange(30, dtype=np.int32))

        async def columns() -> set[str]:
            asked = await house.list(debug=True)
            assert asked.trace is not None
            return {name for values in asked.trace["features"].values() for name in values}

        every = {"faulty", "item_touches", "faulty_item"}
        assert every <= await columns()
        fault = house.faults["item"]
        fault.act = getattr(fault, how)
        assert (await house.list()).missing == ()
        changed()
        for _ in range(BUDGET.breaker_failures + 2):
            served = await house.list()
            assert (served.served_from, served.missing) == ("ranker", ("feature:faulty_item",))
        assert await columns() & every == {"faulty", "item_touches"}
        fault.act = None
        fault.release.set()
        await asyncio.sleep(BUDGET.breaker_seconds + 0.1)
        assert every <= await columns()
        assert (await house.list()).missing == ()
        assert house.engine._worker.lost == 0

    play(story)


def test_a_component_that_hangs_for_ever_loses_no_more_threads_than_its_breaker_allows(
    play: Callable[..., None],
) -> None:
    async def story(house: House) -> None:
        fault = house.faults["one"]
        fault.act = fault.never_returns
        until = time.monotonic() + 4 * BUDGET.breaker_seconds
        while time.monotonic() < until:
            assert (await house.list()).served_from == "ranker"
            await asyncio.sleep(0.05)
        assert house.engine._worker.lost == BUDGET.breaker_failures
        assert fault.calls <= BUDGET.breaker_failures + 1

    play(story)


def _nonsense() -> dict[str, tuple[str, str, Action]]:
    i32, f32 = np.int32, np.float32
    return {
        "fewer scores than items": (
            "one", "source:one", lambda: Retrieved(np.arange(9, dtype=i32), np.ones(2, f32), np.zeros(9, i32))
        ),
        "a column of nothing": ("one", "source:one", lambda: Retrieved(None, None, None)),  # type: ignore[arg-type]
        "too short a mask": ("filter", "filter:faulty_filter", lambda: np.ones(2, np.bool_)),
        "places that are not there": ("rule", "rule:faulty_rule", lambda: np.array([999], i32)),
        "scores that are not numbers": ("ranker", "ranker", lambda: np.nan),
        "infinite scores": ("ranker", "ranker", lambda: np.inf),
    }  # fmt: skip


@pytest.mark.parametrize("what", sorted(_nonsense()))
def test_nonsense_is_the_mistake_of_who_talks_it(play: Callable[..., None], what: str) -> None:
    part, name, act = _nonsense()[what]

    async def story(house: House) -> None:
        house.faults[part].act = act
        served = await house.list()
        assert served.missing == (name,)
        assert served.served_from == ("light_ranker" if part == "ranker" else "ranker")
        assert len(served.items) == 5

    play(story)


def test_the_ladder_goes_down_to_what_is_available_and_never_below(play: Callable[..., None]) -> None:
    async def story(house: House) -> None:
        faults = house.faults
        assert (await house.list("known")).served_from == "ranker"
        faults["ranker"].act = faults["ranker"].raises
        assert (await house.list("known")).served_from == "light_ranker"
        faults["light"].act = faults["light"].raises
        assert (await house.list("known")).served_from == "retrieval"
        for name in ("one", "two"):
            faults[name].act = faults[name].raises
        await house.event("shopper", "i4", "c1")
        ladder = [
            ("known", "last_list"),
            ("shopper", "trending_category"),
            ("stranger", "trending"),
        ]
        for user, served_from in ladder:
            served = await house.list(user)
            assert served.served_from == served_from
            assert len(served.items) == 5
            assert {"source:one", "source:two"} <= set(served.missing)
        # All but one are withdrawn or excluded: that one is served, on every rung.
        for k in range(1, 29):
            assert await house.engine.delete_item(f"i{k}")
        for user in ("known", "shopper", "stranger"):
            served = await house.list(user, exclude=("i0",))
            assert [item.item_id for item in served.items] == ["i29"]

    play(story)


def test_available_items_are_served_where_nothing_trends(play: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(house: House) -> None:
        for name in ("one", "two"):
            house.faults[name].act = house.faults[name].raises
        monkeypatch.setattr(TrendingSource, "fetch", lambda *_: (_ for _ in ()).throw(RuntimeError("trends not")))
        served = await house.list()
        assert (served.served_from, len(served.items)) == ("available", 5)

    play(story)


def test_a_broken_filter_does_not_break_the_last_rungs_or_similar_items(play: Callable[..., None]) -> None:
    async def story(house: House) -> None:
        for name in ("one", "two", "filter"):
            house.faults[name].act = house.faults[name].raises
        assert len((await house.list()).items) == 5
        query = Query(key("u"), house.engine.clock.now())
        assert await house.engine.similar("i1", query, 5, 0.0) is not None
        assert await house.engine.trending(5)

    play(story)


def test_many_at_once_are_answered_while_a_ranker_hangs(play: Callable[..., None]) -> None:
    async def story(house: House) -> None:
        fault = house.faults["ranker"]
        fault.act = fault.never_returns
        served = await asyncio.gather(*(house.list(f"u{n}") for n in range(100)))
        assert all(len(each.items) == 5 for each in served)
        assert house.engine._worker.lost <= BUDGET.breaker_failures
        later = await house.list()
        assert later.served_from == "light_ranker"

    play(story)


def test_items_with_colliding_keys_are_refused_and_do_not_stop_a_restart(tmp_path: Path) -> None:
    same = _collision()

    async def story() -> None:
        house = House(tmp_path)
        await house.open(3)
        await house.engine.put_items([Item("a", category=same[0])])
        with pytest.raises(NearlineError, match="rename"):
            await house.engine.put_items([Item("b", category=same[1])])
        # Both on their way at once: neither is known yet when the other is checked.
        now = house.engine.clock.now()
        bad = Record("", "put", "", "b", now, now, context=msgspec.json.encode(Item("b", category=same[1])).decode())
        good = Record("", "put", "", "c", now, now, context=msgspec.json.encode(Item("c")).decode())
        await house.engine._writer.submit("item_events", [bad, good])
        assert {"a", "c"} <= set(house.engine.catalog.items)
        assert "b" not in house.engine.catalog.items
        await house.close()
        again = House(tmp_path)
        await again.open(0)
        assert set(again.engine.catalog.items) == {"i0", "i1", "i2", "a", "c"}
        await again.close()

    asyncio.run(story())


def _collision() -> tuple[str, str]:
    from nearline.schema.ids import key32

    seen: dict[int, str] = {}
    for n in range(1_000_000):
        name = f"c{n}"
        if (other := seen.setdefault(key32(name), name)) != name:
            return other, name
    raise AssertionError("no collision found")


def test_a_fold_that_fails_after_the_commit_stops_the_engine_and_a_restart_mends_it(tmp_path: Path) -> None:
    async def story() -> None:
        house = House(tmp_path)
        await house.open(3)
        await house.event("u", "i0")
        stopped: list[bool] = []
        house.engine.stop = lambda: stopped.append(True)
        real = house.engine.world.state.apply
        house.engine.world.state.apply = lambda events: Fault.raises(Fault())  # type: ignore[method-assign]
        with pytest.raises(Exception, match="start again"):
            await house.event("u", "i1")
        house.engine.world.state.apply = real  # type: ignore[method-assign]
        # It is in the log and not in the state: nothing is written, and no snapshot is left, that builds on that.
        with pytest.raises(Exception, match="start again"):
            await house.event("u", "i2")
        assert (stopped, house.engine.ready) == ([True], False)
        await house.close()
        again = House(tmp_path)
        await again.open(0)
        assert again.engine.world.offset == 2
        await again.close()

    asyncio.run(story())


def test_through_http(tmp_path: Path) -> None:
    app = APP + (
        "import time\n"
        "from nearline.app.defaults import default_sources\n"
        "class Slow(type(default_sources()[0])):\n"
        "    name = 'slow'\n"
        "    state = ()\n"
        "    def __init__(self):\n        super().__init__()\n        self.state = ()\n"
        "    def fetch(self, query, user, limit):\n        time.sleep(5)\n"
        "app = App(name='faults', events=['view', 'click'], sources=[*default_sources(), Slow()])\n"
    )
    # The first list, before the server is ready, has no budget: it may take those five seconds.
    server = Server(tmp_path, app=app)
    try:
        server.start()
        assert server.ask("POST", "/v1/items", bodies(20))[0] == 200
        for _ in range(4):
            began = time.monotonic()
            status, served, _ = server.ask("GET", "/v1/recommendations?user_id=u&page_size=5")
            assert time.monotonic() - began < 1.0
            assert (status, len(served["items"])) == (200, 5)
            assert "source:slow" in served["missing"]
    finally:
        server.end()
