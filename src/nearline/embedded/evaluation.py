"""Evaluation: a tenant made from a dataset, trained on what a protocol lets be known, asked as clients do."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pyarrow as pa

from nearline.app.event_types import FOREVER, WELL_KNOWN
from nearline.app.load import load_app
from nearline.app.sections import EvaluationSettings, Settings
from nearline.app.settings import settings_toml
from nearline.app.tenant import Tenant
from nearline.batch.dataset import Dataset, for_asking
from nearline.batch.importers import load_dataset
from nearline.batch.importing import import_dataset
from nearline.batch.metrics import Estimate, evaluate_lists
from nearline.batch.protocols import Case, Holdout, Split, known_items, leave_one_out, next_event, one_point
from nearline.batch.splitting import earliest
from nearline.batch.training import train
from nearline.embedded.memory import forget_peak, peak_megabytes
from nearline.embedded.systems import ApiSystem, K, Listed, OfflineSystem, System
from nearline.schema.clock import DAY
from nearline.schema.errors import NearlineError
from nearline.schema.event import EventType

Protocol = Literal["A", "B", "C"]
PROTOCOLS: dict[Protocol, Callable[[Dataset, Holdout], Split]] = {
    "A": leave_one_out,
    "B": one_point,
    "C": next_event,
}
BATCH = 1_000
Say = Callable[[str], None]


def _silent(_: str) -> None:
    return


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure.

    Attributes:
        data: folder or file that an importer knows.
        rules: whether what arranges a list (diversity, cap per category) is on; filters always are.
        frozen: nothing is revealed after the split (protocol C).
        offline: the engine in this process instead of a server.
        users: ask about so many users only, drawn by `seed`; 0 for all.
        repeats: what a user has had may be listed again (protocol C), as shops want it.
    """

    data: Path
    protocol: Protocol
    holdout: Holdout = "test"
    rules: bool = True
    frozen: bool = False
    offline: bool = False
    users: int = 0
    seed: int = 7
    repeats: bool = False


class Report(msgspec.Struct, frozen=True):
    """What was measured. Means stand beside their standard errors; seconds are wall time of this run.

    Attributes:
        through: "api" or "offline".
        cases: lists asked for, of `of_cases` that the protocol has.
        candidates: most candidates that a list ranks.
        repeats: share of cases whose targets the user all had before; misses where such items are never listed.
        repeats_listed: whether they may be.
        known_cases, known_ndcg: of users that the training knew.
        short: lists with fewer than ten items.
        degraded: lists not from the ranker, or with something missing, by what they were; must be empty.
        train_megabytes: the most memory held while training, the process and what it has read included.
        first_list_seconds: from the import's beginning to the first personal list, server start included.
        offline_metrics: what training itself found, by system.
    """

    data: str
    protocol: str
    holdout: str
    through: str
    rules: str
    frozen: bool
    users: int
    cases: int
    of_cases: int
    items: int
    catalogue: str
    candidates: int
    known_events: int
    revealed_events: int
    repeats: float
    repeats_listed: bool
    hr: Estimate = msgspec.field(name="hr@10")
    ndcg: Estimate = msgspec.field(name="ndcg@10")
    recall: Estimate = msgspec.field(name="recall@10")
    precision: Estimate = msgspec.field(name="precision@10")
    mrr: Estimate = msgspec.field(name="mrr@10")
    known_cases: int
    known_ndcg: Estimate = msgspec.field(name="known_ndcg@10")
    coverage: float
    gini: float
    short: int
    degraded: dict[str, int]
    lists_per_second: float
    p50_ms: float
    p99_ms: float
    import_seconds: float
    train_seconds: float
    train_megabytes: float
    start_seconds: float
    reveal_seconds: float
    ask_seconds: float
    first_list_seconds: float
    train_steps: dict[str, float]
    taught_by: str
    offline_metrics: dict[str, dict[str, float]]


@dataclass(slots=True)
class Timer:
    """Seconds by name."""

    seconds: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the seconds of a block."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - begun  # type: ignore[assignment]


def app_source(dataset: Dataset, repeats: bool = False) -> str:
    """Return the text of an application for a dataset's event types.

    Types have their usual weight and role, and the commonest is what is predicted. As protocols A and B ask
    (and C follows), an item that the user has had is never recommended again: every type suppresses its item
    for ever, unless repeats are wanted.
    """
    gone = () if repeats else FOREVER
    kinds = [
        msgspec.structs.replace(WELL_KNOWN.get(name, EventType(name)), outcome=name == dataset.positive, suppresses=gone)
        for name in dataset.events["event_type"].unique().to_pylist()
    ]
    lines = "".join(f"        {kind!r},\n" for kind in kinds)
    return (
        '"""Made by `nearline evaluate`."""\n\nfrom nearline import App, EventType, Suppression\n\n'
        f'app = App(\n    name="evaluation",\n    events=[\n{lines}    ],\n)\n'
    )


def evaluation_settings(base: Settings, folder: Path) -> Settings:
    """Return settings for measuring: a free port, no budgets, impressions or jobs; the rest as in `base`."""
    change = msgspec.structs.replace
    return change(
        base,
        server=change(base.server, host="127.0.0.1", port=0, api_key=""),
        storage=change(base.storage, path=str(folder / "data"), durability="relaxed"),
        state=change(base.state, snapshot_every_minutes=1440),
        train=change(base.train, every="", after_events=0),
        impressions=change(base.impressions, log=False),
        clock=change(base.clock, mode="auto"),
        evaluation=EvaluationSettings(mode=True),
    )


def learn_from_all(base: Settings, known: pa.Table) -> Settings:
    """Return settings that train on everything known, the last tenth judging, unless the settings say which days."""
    if base.train.days != Settings().train.days:
        return base
    times = known["timestamp"].to_numpy()
    days = max(10, -(-int(times[-1] - earliest(times)) // DAY))
    return msgspec.structs.replace(base, train=msgspec.structs.replace(base.train, days=days, evaluate_days=days // 10))


def evaluate(plan: Plan, folder: Path, base: Settings | None = None, say: Say = _silent) -> Report:
    """Measure.

    Args:
        folder: where the temporary tenant is made; empty.
        base: settings that are not the measurement's own.
        say: told about each step.

    Raises:
        NearlineError: the data can't be read, or the training was refused.
    """
    if plan.frozen and plan.protocol != "C":
        raise NearlineError("--frozen", plan.protocol, "only protocol C streams what it could leave out")
    if plan.repeats and plan.protocol != "C":
        raise NearlineError("--repeats", plan.protocol, "only protocol C asks for items that a user has had")
    timer = Timer()
    dataset = for_asking(load_dataset(plan.data))
    split = PROTOCOLS[plan.protocol](dataset, plan.holdout)
    cases = some_cases(split.cases, plan.users, plan.seed)
    dataset, catalogue = _catalogue(dataset, split, plan.protocol)
    say(f"{dataset.name} {split.name}: {split.known.num_rows:,} events known, {len(cases):,} lists to ask for")
    folder.mkdir(parents=True, exist_ok=True)
    settings = evaluation_settings(learn_from_all(base or Settings(), split.known), folder)
    (folder / "app.py").write_text(app_source(dataset, plan.repeats), encoding="utf-8")
    (folder / "nearline.toml").write_text(settings_toml(settings), encoding="utf-8")
    tenant = Tenant(load_app(folder / "app.py"), settings)
    begun = time.perf_counter()
    with timer("import"):
        import_dataset(tenant, dataset, split.known)
    steps = _Steps(say)
    forget_peak()
    with timer("train"):
        # A tenant caches what it knew before the import, so training gets a new one.
        outcome = train(Tenant(tenant.app, settings), steps)
    steps.megabytes = round(peak_megabytes(), 1)
    if not outcome.published:
        reasons = [f"{gate.name}: {gate.reason}" for gate in outcome.manifest.gates if not gate.passed]
        raise NearlineError("training", "; ".join(reasons), "a release that is refused is not measured; give more data")
    with timer("start"):
        tenant = Tenant(tenant.app, settings)
        system: System = OfflineSystem(tenant) if plan.offline else ApiSystem(folder)
    try:
        with timer("warm"):
            system.ask(cases[0].user_id, cases[0].now_ms, plan.rules)
        first = time.perf_counter() - begun
        say(f"first personal list after {first:.1f} s")
        lists, revealed = walk(system, split, cases, plan, timer, say)
    finally:
        system.close()
    return _report(
        plan,
        dataset,
        split,
        cases,
        catalogue,
        settings,
        lists,
        revealed,
        timer,
        first,
        steps,
        outcome.manifest,
    )


def walk(system: System, split: Split, cases: Sequence[Case], plan: Plan, timer: Timer, say: Say) -> tuple[list[Listed], int]:
    """Reveal and ask, in order; return a list per case and how many events were revealed."""
    events = [] if plan.frozen else event_bodies(split.reveal)
    lists: list[Listed] = []
    done = 0
    for place, case in enumerate(cases):
        upto = min(case.revealed, len(events))
        with timer("reveal"):
            while done < upto:
                step = events[done : min(done + BATCH, upto)]
                if (accepted := system.send(b"[" + b",".join(step) + b"]")) != len(step):
                    raise NearlineError("events", len(step) - accepted, "the server refused some; see server.log")
                done += len(step)
        with timer("ask"):
            lists.append(system.ask(case.user_id, case.now_ms, plan.rules))
        if place % 5_000 == 4_999:
            say(f"  {place + 1:,} of {len(cases):,} lists")
    return lists, done


def event_bodies(events: Any) -> list[bytes]:
    """Return rows of `EVENTS` as JSON that `POST /v1/events` takes, each with an id and so safe to retry."""
    encode = msgspec.json.Encoder().encode
    return [encode(_event(place, row)) for place, row in enumerate(events.to_pylist())]


def _event(place: int, row: dict[str, Any]) -> dict[str, Any]:
    value = {"rating": row["rating"], "price": row["value"]}
    return {
        "event_id": row["event_id"] or f"revealed-{place}",
        "event_type": row["event_type"],
        "user_id": row["user_id"],
        "item_id": row["item_id"],
        "timestamp": row["timestamp"],
        "session_id": row["session_id"],
        "context": {"device": row["device"]} if row["device"] else {},
        "event_value": {name: number for name, number in value.items() if number is not None},
    }


def some_cases(cases: Sequence[Case], users: int, seed: int) -> tuple[Case, ...]:
    """Return the cases of so many users, drawn with a seed, in their order; all for 0."""
    names = list(dict.fromkeys(case.user_id for case in cases))
    if not users or users >= len(names):
        return tuple(cases)
    drawn = {names[place] for place in np.random.default_rng(seed).choice(len(names), users, replace=False).tolist()}
    return tuple(case for case in cases if case.user_id in drawn)


def _catalogue(dataset: Dataset, split: Split, protocol: Protocol) -> tuple[Dataset, str]:
    if protocol != "B":
        return dataset, "all items of the data"
    known = set(known_items(split))
    return replace(dataset, items=tuple(item for item in dataset.items if item.item_id in known)), "items known at the split"


def _repeats(split: Split, cases: Sequence[Case], frozen: bool) -> float:
    """Return the share of cases whose targets the user all had when asked."""
    asked = {case.user_id for case in cases}
    had: dict[str, set[str]] = {user: set() for user in asked}
    for user, item in zip(split.known["user_id"].to_pylist(), split.known["item_id"].to_pylist(), strict=True):
        if user in asked:
            had[user].add(item)
    reveal = list(zip(split.reveal["user_id"].to_pylist(), split.reveal["item_id"].to_pylist(), strict=True))
    done = repeats = 0
    for case in cases:
        for user, item in () if frozen else reveal[done : case.revealed]:
            if user in asked:
                had[user].add(item)
        done = case.revealed
        repeats += case.targets <= had[case.user_id]
    return repeats / len(cases)


class _Steps:
    """Passes on what training says, and keeps the seconds between its steps, and what memory it took."""

    NAMES = (
        ("events to learn from", "read"),
        ("sources fitted:", "fit"),
        ("rankers taught", "teach"),
        ("  release", "judge"),
        ("fitted again", "fit again"),
    )

    def __init__(self, say: Say) -> None:
        self._say, self._last = say, time.perf_counter()
        self.seconds: dict[str, float] = {}
        self.megabytes = 0.0

    def __call__(self, text: str) -> None:
        for mark, name in self.NAMES:
            if mark in text:
                now = time.perf_counter()
                self.seconds[name], self._last = round(now - self._last, 3), now
        self._say(text)


def _report(
    plan: Plan,
    dataset: Dataset,
    split: Split,
    cases: Sequence[Case],
    catalogue: str,
    settings: Settings,
    lists: Sequence[Listed],
    revealed: int,
    timer: Timer,
    first: float,
    steps: _Steps,
    manifest: Any,
) -> Report:
    worth = evaluate_lists([one.items for one in lists], cases, len(dataset.items), K)
    trained = set(split.known["user_id"].to_pylist())
    known = [place for place, case in enumerate(cases) if case.user_id in trained]
    of_known = (
        evaluate_lists([lists[place].items for place in known], [cases[place] for place in known], len(dataset.items), K)
        if known
        else None
    )
    took = np.array([one.seconds for one in lists]) * 1e3
    degraded = Counter(
        f"{one.served_from}, without {', '.join(one.missing)}" if one.missing else one.served_from
        for one in lists
        if one.served_from != "ranker" or one.missing
    )
    seconds = {name: round(value, 3) for name, value in timer.seconds.items()}
    return Report(
        data=dataset.name,
        protocol=plan.protocol,
        holdout=plan.holdout,
        through=OfflineSystem.through if plan.offline else ApiSystem.through,
        rules="on" if plan.rules else "off",
        frozen=plan.frozen,
        users=len({case.user_id for case in cases}),
        cases=len(cases),
        of_cases=len(split.cases),
        items=len(dataset.items),
        catalogue=catalogue,
        candidates=settings.candidates.ranked,
        known_events=split.known.num_rows,
        revealed_events=revealed,
        repeats=round(_repeats(split, cases, plan.frozen), 4),
        repeats_listed=plan.repeats,
        hr=worth.hit_rate,
        ndcg=worth.ndcg,
        recall=worth.recall,
        precision=worth.precision,
        mrr=worth.mrr,
        known_cases=len(known),
        known_ndcg=Estimate(0.0, 0.0) if of_known is None else of_known.ndcg,
        coverage=worth.coverage,
        gini=worth.gini,
        short=worth.short,
        degraded=dict(degraded),
        lists_per_second=len(lists) / (float(took.sum()) / 1e3),
        p50_ms=float(np.percentile(took, 50)),
        p99_ms=float(np.percentile(took, 99)),
        import_seconds=seconds["import"],
        train_seconds=seconds["train"],
        train_megabytes=steps.megabytes,
        start_seconds=seconds["start"],
        reveal_seconds=seconds.get("reveal", 0.0),
        ask_seconds=seconds["ask"],
        first_list_seconds=round(first, 3),
        train_steps=steps.seconds,
        taught_by=manifest.examples,
        offline_metrics=manifest.metrics,
    )
