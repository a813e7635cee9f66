"""Position bias in the simulated shop: what rankers make of clicks that came because an item stood on top.

`python -m benchmarks.position_bias --seeds 1 2 3`. A week of lists is shown in an order of the house's that is not the
visitors' (cheapest first among the best thirty), or in that of the release before; nobody reports what was seen. Rankers then
learn from the same lists, each by another reading of what was not clicked, and order the same candidates at the same moments
of the week after. Only the simulator knows what such a list of twenty is truly worth (clicks + 8 purchases expected, given
what the visit is after).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.table import machine, say
from nearline.app.binding import build_pipeline
from nearline.app.settings import load_settings
from nearline.app.tenant import Tenant
from nearline.batch.cleaning import clean
from nearline.batch.examination import examined
from nearline.batch.importing import import_dataset
from nearline.batch.impressions import impression_lessons, touches
from nearline.batch.metrics import Estimate, estimate
from nearline.batch.replaying import Moment, replay
from nearline.batch.splitting import before, split_times
from nearline.batch.teaching import Lesson, Teacher, gather, sampled_lessons
from nearline.batch.training import train
from nearline.embedded.demo import shop_dataset
from nearline.embedded.engine import Engine
from nearline.embedded.in_process import InProcess, at_time
from nearline.embedded.simulation import APP, DEFAULTS
from nearline.pipeline.run import Run
from nearline.rankers.cross import CrossRanker
from nearline.rankers.trees import TreesRanker
from nearline.schema.candidates import F32, I32, Ranked
from nearline.schema.clock import DAY, HOUR, VirtualClock
from nearline.schema.components import Examples, FitData, Ranker, ReadContext, UserState, World
from nearline.schema.event import Record
from nearline.schema.ids import keys
from nearline.schema.query import Query
from nearline.schema.served import Impression
from nearline.serving.metrics import Metrics
from nearline.sim.behaviour import position_bias
from nearline.sim.client import Answer
from nearline.sim.config import LIVELY
from nearline.sim.driver import drive
from nearline.sim.people import NO_INTENT
from nearline.sim.world import ShopWorld
from nearline.sim.worth import worth
from nearline.stores.history import every_record, iter_records
from nearline.stores.timeline import timeline

COMMAND = "python -m benchmarks.position_bias"
PAGE, DAYS, JUDGED = 20, 14, 400
FITS = (7, 8, 9)
"""Seeds of the rankers: what a fit owes to chance is about as much as what readings differ by."""
READINGS = ("ignore", "cut", "weights", "seen")
RANKERS: Mapping[str, Callable[[], Ranker]] = {"trees": TreesRanker, "cross": CrossRanker}


class CheapestFirstRule:
    """The house's order: the best thirty, cheapest first."""

    name = "cheapest_first"

    def bind(self, world: World) -> None:
        """Read this world's prices."""
        self._world = world

    def arrange(self, query: Query, user: UserState, ranked: Ranked, size: int) -> I32:
        """Return the new order."""
        items = ranked.candidates.items
        head = np.argsort(self._world.columns.price[items[:30]], kind="stable")
        return np.concatenate([head, np.arange(len(head), len(items))]).astype(np.int32)


class Silent:
    """A shop whose pages do not report what was seen; `kept` holds what they would have."""

    retries = 0

    def __init__(self, client: InProcess) -> None:
        self._client = client
        self.kept: list[dict[str, Any]] = []

    def get(self, path: str) -> Answer:
        """Send a GET."""
        return self._client.get(path)

    def post(self, path: str, body: bytes) -> Answer:
        """Send JSON, events without those of type `seen`."""
        if path != "/v1/events":
            return self._client.post(path, body)
        events = json.loads(body)
        self.kept += [event for event in events if event["event_type"] == "seen"]
        rest = [event for event in events if event["event_type"] != "seen"]
        return self._client.post(path, json.dumps(rest).encode()) if rest else Answer(202, b"", 0.0)


@dataclass(frozen=True, slots=True)
class Judged:
    """One list of the later week: its candidates, and what only the simulator knows of them."""

    x: F32
    rows: NDArray[np.int64]
    utility: F32


@dataclass(frozen=True, slots=True)
class Past:
    """What a shop's fortnight left: examples by reading, later lists, what was shown then."""

    examples: dict[str, Examples]
    later: list[Judged]
    shown: float
    curve: list[float]


def fortnight(seed: int, users: int, items: int, house: bool, browsing: float, fill: str) -> Past:
    """Show lists for two weeks; return what can be learned from the first, and the second to judge by."""
    world = ShopWorld(seed, users, items, bots=1, config=replace(LIVELY, browsing=browsing))
    truth: dict[tuple[str, int], F32] = {}
    true = world.utilities

    def told(user_id: str, intent: int = NO_INTENT, now: int | None = None, memory: Any = None) -> F32:
        found = true(user_id, intent, now, memory)
        if intent != NO_INTENT and now is not None and now > world.end_ms + 7 * DAY:
            truth[user_id, now] = found
        return found

    world.utilities = told  # type: ignore[method-assign]
    clock = VirtualClock(world.end_ms + 1)
    with tempfile.TemporaryDirectory(prefix="nearline-bias-") as folder:
        environ = {f"NEARLINE_{name}": value for name, value in DEFAULTS.items()} | {"NEARLINE_STORAGE_PATH": folder}
        settings = load_settings(None, environ)

        def tenant(own: bool = False) -> Tenant:
            app = replace(APP, rules=(CheapestFirstRule(),)) if own else APP
            return at_time(Tenant(app, settings), clock)

        import_dataset(tenant(), shop_dataset(world, 28))
        train(tenant())
        client = InProcess(Engine(tenant(house), Metrics()), clock)
        client.do(client.engine.open())
        silent = Silent(client)
        try:
            drive("", world, DAYS, page_size=PAGE, client=silent, tick=client.tick, note=lambda note: None)
        finally:
            client.end()
        return _read(tenant(), world, truth, silent.kept, seed, fill)


def _read(
    tenant: Tenant, world: ShopWorld, truth: Mapping[tuple[str, int], F32], seen: list[dict[str, Any]], seed: int, fill: str
) -> Past:
    kinds, train_settings = tenant.kinds, tenant.settings.train
    log = tenant.log(read_only=True)
    past = timeline(log, tenant.lake, kinds, 24 * HOUR)
    feedback = list(every_record(log, tenant.lake, "feedback"))
    acted = [record for record in every_record(log, tenant.lake, "user_events") if record.request_id]
    online = tenant.world()
    catalogue = online.adopt(iter_records(log, tenant.lake, "item_events"))
    log.close()
    reported = [
        Record("", "seen", event["user_id"], event["item_id"], event["timestamp"], 0, request_id=event["context"]["request_id"])
        for event in seen
    ]
    cleaned, _ = clean(past.events, False)
    times = split_times(cleaned, train_settings, False)
    data = FitData(cleaned[before(cleaned, times.fitted)], keys(item.item_id for item in catalogue), times.fitted, seed)
    pipeline = build_pipeline(tenant, online, {source.name: source.fit(data) for source in tenant.parts.sources})

    def moved(lesson: Lesson) -> Lesson:
        moment = lesson.moment
        return replace(lesson, moment=replace(moment, offset=past.at(moment.query.visitor, moment.offset)))

    lessons: dict[str, list[Lesson]] = {}
    for reading in READINGS:
        known = touches([*acted, *(reported if reading == "seen" else ())], kinds, times.taught)
        own = impression_lessons(feedback, known, kinds, times.fitted, times.taught, None, reading != "cut", seed)
        lessons[reading] = [moved(lesson) for lesson in own]
    organic = cleaned[cleaned["shown"] == 0] if fill == "organic" else cleaned
    others = sampled_lessons(organic, kinds, times.fitted, times.taught, 4000, seed) if fill != "none" else []
    later = _later(feedback, past, times.taught, truth, seed)
    teachers = {reading: Teacher(pipeline, tenant.app.outcomes, seed) for reading in READINGS}
    every = [
        *((reading, lesson) for reading in READINGS for lesson in (*lessons[reading], *others)),
        *(("later", Lesson(moment, np.empty(0, np.uint64), np.empty((0, 0), np.float32), True)) for moment, _, _ in later),
    ]
    order = sorted(range(len(every)), key=lambda place: every[place][1].moment.offset)
    judged, shown = [], []
    for moment in replay(online, past.events, (replace(every[place][1].moment, label=place) for place in order)):
        reading, lesson = every[moment.label]
        if reading != "later":
            teachers[reading].take(lesson)
            continue
        _, utility, items = later[moment.label - len(every) + len(later)]
        run = Run(lesson.moment.query, len(pipeline.sources))
        gather(pipeline, run)
        assert run.candidates is not None
        assert run.user is not None
        context = ReadContext(run.query, run.user, run.candidates, online.rows, online.columns)
        rows = np.array([world.catalog.rows[online.catalog.ids[slot]] for slot in run.candidates.items.tolist()])
        judged.append(Judged(np.array(pipeline.features.read(context)), rows, utility))
        shown.append(worth(utility[None, [world.catalog.rows[item] for item in items]]).value)
    examples = {reading: teacher.examples() for reading, teacher in teachers.items()}
    examples["weights"], curves = examined(examples["weights"])
    curve = curves.get("homepage", np.full(PAGE, np.nan))
    return Past(examples, judged, float(np.mean(shown)), curve.tolist())


def _later(
    feedback: list[Record], past: Any, after: int, truth: Mapping[tuple[str, int], F32], seed: int
) -> list[tuple[Moment, F32, list[str]]]:
    found = []
    for record in feedback:
        if record.timestamp > after and record.context != "{}":
            shown = msgspec.json.decode(record.context, type=Impression)
            utility = truth.get((record.user_id, shown.now))
            if utility is not None:
                query = shown.query(record)
                offset = shown.offset if shown.offset >= 0 else -1 - shown.offset
                found.append((Moment(past.at(query.visitor, offset), query), utility, shown.items))
    chosen = np.random.default_rng(seed).choice(len(found), min(JUDGED, len(found)), replace=False)
    return [found[place] for place in np.sort(chosen).tolist()]


def value(ranker: Ranker, later: list[Judged], weights: F32) -> float:
    """Return what lists of twenty by a ranker are truly worth, in the mean."""
    total = 0.0
    for one in later:
        scores = weights @ ranker.score(np.ascontiguousarray(one.x))
        top = one.rows[np.argsort(-scores, kind="stable")[:PAGE]]
        total += worth(one.utility[None, top]).value
    return total / max(1, len(later))


def best(later: list[Judged]) -> float:
    """Return what the best lists of the same candidates are worth."""
    tops = (np.sort(one.utility[one.rows])[::-1][:PAGE] for one in later)
    return float(np.mean([worth(top[None]).value for top in tops]))


def one_seed(seed: int, options: Any) -> dict[str, float]:
    """Return the true value of the lists by reading and ranker."""
    past = fortnight(seed, options.users, options.items, options.order == "price", options.browsing, options.fill)
    weights = np.array(list(APP.outcome_weights()), np.float32)
    out = {"shown": past.shown, "best": best(past.later)} | {f"at {n + 1}": past.curve[n] for n in (0, 1, 2, 4, 9, 19)}
    for name in options.rankers:
        for reading in READINGS:
            values = []
            for fit in FITS:
                ranker = RANKERS[name]()
                ranker.load(ranker.fit(past.examples[reading], fit))
                values.append(value(ranker, past.later, weights))
            out[f"{name} {reading}"] = float(np.mean(values))
            say(f"seed {seed} {name} {reading}: {out[f'{name} {reading}']:.4f} from {len(past.examples[reading].x):,} rows")
    return out


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="one world each")
    parser.add_argument("--jobs", type=int, default=1, help="seeds at a time")
    parser.add_argument("--users", type=int, default=600)
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--order", choices=["price", "ranked"], default="price", help="of the lists that were shown")
    parser.add_argument("--browsing", type=float, default=LIVELY.browsing, help="chance to look around after a list")
    parser.add_argument("--fill", choices=["organic", "all", "none"], default="organic", help="sampled events beside lists")
    parser.add_argument("--rankers", nargs="+", choices=list(RANKERS), default=["trees"])
    options = parser.parse_args()
    with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
        runs = list(pool.map(one_seed, options.seeds, [options] * len(options.seeds)))
    print(f"{machine()}; seeds {options.seeds}, {options}")
    for name in runs[0]:
        found: Estimate = estimate([run[name] for run in runs])
        ranker, _, reading = name.partition(" ")
        change = ""
        if reading in READINGS:
            base = estimate([run[name] / run[f"{ranker} ignore"] - 1 for run in runs])
            change = f"{base.mean:+.1%} ± {base.error:.1%}"
        truth = f" (true {position_bias(np.array(int(reading))):.2f})" if ranker == "at" else ""
        print(f"| {name} | {found.mean:.4f} ± {found.error:.4f} | {change}{truth} |", flush=True)


if __name__ == "__main__":
    main()
