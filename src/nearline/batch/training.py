"""Training: history → clean → split → fit → teach → judge → gate → fit on everything → publish."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from nearline.app.binding import build_pipeline
from nearline.app.tenant import Tenant
from nearline.batch.cleaning import clean, tombstones
from nearline.batch.embeddings import export_embeddings, fill_index
from nearline.batch.examination import examined
from nearline.batch.gates import comparison_gate, coverage_gate, finite_gate, teaching_gate
from nearline.batch.impressions import impression_lessons, touches
from nearline.batch.judging import Verdict, judge
from nearline.batch.popularity import PopularitySource
from nearline.batch.replaying import RENEWED, replay
from nearline.batch.splitting import TimeSplit, before, split_times
from nearline.batch.teaching import Lesson, Teacher, lessons_in_order, sampled_lessons
from nearline.pipeline.pipeline import Pipeline
from nearline.rankers.logistic import LogisticRanker
from nearline.schema.clock import HOUR
from nearline.schema.components import Arrays, Examples, FitData
from nearline.schema.errors import NearlineError
from nearline.schema.event import Events
from nearline.schema.factors import Factoriser
from nearline.schema.ids import keys
from nearline.schema.interactions import drawn
from nearline.sources.item_words import item_tokens
from nearline.stores.history import every_record, iter_records
from nearline.stores.log import Log
from nearline.stores.releases import Gate, Manifest, Release
from nearline.stores.timeline import Timeline, timeline
from nearline.stores.world import OnlineWorld

Say = Callable[[str], None]
JUDGED = 1500
LEAST_CASES = 50
"""Organic events from which the release in service is compared with."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a training came to: the manifest as it was or would have been published."""

    manifest: Manifest
    published: bool


def train(
    tenant: Tenant,
    say: Say = lambda text: None,
    split: TimeSplit | None = None,
    factoriser: Factoriser | None = None,
    publish: bool = True,
) -> Outcome:
    """Train a release and publish it where every gate passes.

    Args:
        tenant: whose; its log is only read.
        say: told about each step.
        split: when to fit, teach and judge; by the settings when not given.
        factoriser: the engine that factorises; this process when not given.
        publish: otherwise it is only judged, and nothing is kept.

    Raises:
        NearlineError: there is nothing to learn from, or another training is under way.
    """
    log = tenant.log(read_only=True)
    try:
        with tenant.releases.training():
            return _train(tenant, log, say, split, factoriser, publish)
    finally:
        log.close()


def _train(
    tenant: Tenant, log: Log, say: Say, split: TimeSplit | None, factoriser: Factoriser | None, publish: bool
) -> Outcome:
    settings, order_only = tenant.settings.train, tenant.meta.order_only
    indexes = tenant.indexes()
    past = timeline(log, tenant.lake, tenant.kinds, tenant.settings.state.dedupe_hours * HOUR)
    events = past.events
    if not len(events):
        raise NearlineError("user_events", 0, "import a history or send events first")
    cleaned, dropped = clean(events, order_only)
    times = split or split_times(cleaned, settings, order_only)
    cleaned = cleaned[cleaned["ts"] >= times.begin]
    say(f"{len(cleaned):,} events to learn from; left out: {dropped or 'none'}")
    world = tenant.world()
    items = world.adopt(iter_records(log, tenant.lake, "item_events"))
    item_keys = keys(item.item_id for item in items)
    fine = drawn(cleaned["user"], settings.visitors, settings.seed)
    past_only = cleaned[fine & before(cleaned, times.fitted)]
    tokens = item_tokens(world, world.item_slots(item_keys).astype(np.int64))
    data = FitData(
        past_only,
        item_keys,
        times.fitted,
        settings.seed,
        times.begin,
        factoriser,
        order_only,
        tokens,
        share=settings.visitors,
        say=say,
    )
    earlier = tenant.releases.earlier(times.fitted, tenant.feature_set) if settings.warm_start else {}
    arrays = _fit(tenant, data, earlier)
    say("sources fitted: " + (", ".join(name for name, own in arrays.items() if own) or "none"))
    fitted = build_pipeline(tenant, world, arrays)
    examples, taught_by = _teach(tenant, log, world, past, cleaned, times, fitted, say)
    gates = [teaching_gate(examples)]
    manifest = _manifest(tenant, times, len(cleaned), len(items), taught_by, dropped)
    if not gates[0].passed:
        return _refused(manifest, gates, say)
    if settings.position_bias == "weights":
        examples, looked_at = examined(examples)
        for surface, chance in looked_at.items():
            curve = ", ".join(f"{rank} {chance[rank - 1]:.2f}" for rank in (1, 2, 3, 5, 10, 20, 50) if rank <= len(chance))
            say(f"  chance that a place is looked at ({surface or 'other surfaces'}): {curve}")
    ranker, light = copy.copy(tenant.parts.ranker), LogisticRanker()
    arrays[ranker.name] = ranker.fit(examples, settings.seed)
    arrays[light.name] = light.fit(examples, settings.seed)
    say(f"rankers taught on {len(examples.x):,} rows from {taught_by}")
    # What answers a list was chosen by the release that made it: only what visitors found by themselves compares fairly.
    organic = cleaned[cleaned["shown"] == 0]
    unbiased = len(_cases(tenant, organic, times)) >= LEAST_CASES
    cases = _cases(tenant, organic if unbiased else cleaned, times)
    verdicts = _judge(tenant, world, events, cases, arrays)
    ours, popularity = verdicts["release"], verdicts["popularity"]
    metrics = {name: verdict.metrics(len(items)) for name, verdict in verdicts.items()}
    for name, values in metrics.items():
        shown = "  ".join(f"{metric} {values[metric]:.4f}" for metric in ("ndcg@10", "recall@10", "coverage"))
        say(f"  {name:<12} {shown}")
    for name, found in ours.calibration(tenant.app.outcomes).items():
        say(f"  P({name}): said {found.predicted:.5f}, happened {found.happened:.5f}, calibration error {found.error:.5f}")
        metrics["release"] |= {f"ece.{name}": found.error, f"ece_relative.{name}": found.relative}
    gates.append(finite_gate(np.concatenate(ours.scores) if ours.scores else np.empty(0, np.float32)))
    gates.append(_against("popularity", ours, popularity))
    compared = verdicts.get("in service")
    if compared is not None:
        gates.append(
            _against("the release in service", ours, compared)
            if unbiased
            else Gate("not worse than the release in service", True, "not compared: all later events answer its own lists")
        )
        gates.append(coverage_gate(metrics["release"]["coverage"], metrics["in service"]["coverage"]))
    manifest = _with(manifest, metrics, gates)
    if not all(gate.passed for gate in gates):
        return _refused(manifest, gates, say)
    if not publish:
        return Outcome(manifest, False)
    # What was judged knew nothing after T0, or its scores of what came next would have been too good to learn from.
    arrays |= _fit(tenant, replace(data, events=cleaned[fine], now=times.end), arrays)
    say("sources fitted again, on everything")
    # First, so that no server that swaps finds the index without them.
    fill_index(tenant, indexes, arrays, say)
    tenant.releases.publish(manifest, arrays)
    export_embeddings(tenant, manifest.version, arrays)
    say(f"published {manifest.version}")
    return Outcome(manifest, True)


def _fit(tenant: Tenant, data: FitData, earlier: Mapping[str, Arrays]) -> dict[str, Arrays]:
    return {source.name: source.fit(replace(data, earlier=earlier.get(source.name))) for source in tenant.parts.sources}


def _teach(
    tenant: Tenant,
    log: Log,
    world: OnlineWorld,
    past: Timeline,
    cleaned: Events,
    times: TimeSplit,
    fitted: Pipeline,
    say: Say,
) -> tuple[Examples, str]:
    settings, kinds, events = tenant.settings.train, tenant.kinds, past.events
    lessons = _logged_lessons(tenant, log, times, past)
    if len(lessons) > settings.examples:
        chosen = np.random.default_rng(settings.seed).choice(len(lessons), settings.examples, replace=False)
        lessons = [lessons[place] for place in np.sort(chosen).tolist()]
    taught_by = [f"{len(lessons)} logged impressions"] if lessons else []
    # A few impressions alone teach less than they make forget: sampled later events fill up what they leave.
    if (wanted := settings.examples - len(lessons)) > 0:
        sampled = sampled_lessons(cleaned, kinds, times.fitted, times.taught, wanted, settings.seed)
        taught_by.append(f"{len(sampled)} sampled later events")
        lessons += sampled
    lessons = [_relabel(lesson, place) for place, lesson in enumerate(lessons)]
    teacher = Teacher(fitted, tenant.app.outcomes, settings.seed)
    upto = events[events["ts"] <= times.taught]
    for done, moment in enumerate(replay(world, upto, lessons_in_order(lessons))):
        if done % RENEWED == 0:
            fitted.renew(moment.query.now)
        teacher.take(lessons[moment.label])
        if done % 5_000 == 4_999:
            say(f"  {done + 1:,} of {len(lessons):,} lists read")
    return teacher.examples(), " and ".join(taught_by)


def _logged_lessons(tenant: Tenant, log: Log, times: TimeSplit, past: Timeline) -> list[Lesson]:
    kinds = tenant.kinds
    shown = list(every_record(log, tenant.lake, "feedback"))
    if not shown:
        return []
    acted = (record for record in every_record(log, tenant.lake, "user_events") if record.request_id)
    users, at, _ = tombstones(past.events)
    erased = dict(zip(users.tolist(), at.tolist(), strict=True))
    touched = touches(acted, kinds, times.taught)
    settings = tenant.settings.train
    whole = settings.position_bias != "cut"
    lessons = impression_lessons(shown, touched, kinds, times.fitted, times.taught, erased, whole, settings.seed)
    return [_moved(lesson, past) for lesson in lessons]


def _moved(lesson: Lesson, past: Timeline) -> Lesson:
    """Return a lesson whose moment is in the one order of all events."""
    moment = lesson.moment
    return replace(lesson, moment=replace(moment, offset=past.at(moment.query.visitor, moment.offset)))


def _relabel(lesson: Lesson, place: int) -> Lesson:
    return replace(lesson, moment=replace(lesson.moment, label=place))


def _cases(tenant: Tenant, events: Events, times: TimeSplit) -> list[Lesson]:
    return sampled_lessons(events, tenant.kinds, times.taught, times.end, JUDGED, tenant.settings.train.seed)


def _judge(
    tenant: Tenant, world: OnlineWorld, events: Events, cases: list[Lesson], arrays: dict[str, Arrays]
) -> dict[str, Verdict]:
    """Judge the new release, popularity and the ranker in service on cases after T1."""
    pipelines = {
        "release": build_pipeline(tenant, world, arrays, version="candidate"),
        "popularity": _popularity(tenant, world),
    }
    version = tenant.releases.current()
    if version:
        try:
            release: Release = tenant.releases.load(version, tenant.feature_set)
            # Its sources know what they are judged by, so its ranker gets those of the new one.
            own = {source.name: arrays[source.name] for source in tenant.parts.sources}
            own |= {
                name: release.arrays[name] for name in (tenant.parts.ranker.name, LogisticRanker.name) if name in release.arrays
            }
            pipelines["in service"] = build_pipeline(tenant, world, own, version=version)
        except NearlineError:
            pass
    return judge(world, events, cases, pipelines)


def _popularity(tenant: Tenant, world: OnlineWorld) -> Pipeline:
    plain = build_pipeline(tenant, world, {})
    source = PopularitySource()
    source.bind(world, {})
    return Pipeline(
        world, [source], tenant.features, None, None, plain.filters, [], [], plain.weights, plain.limits, plain.breakers
    )


def _against(name: str, ours: Verdict, theirs: Verdict) -> Gate:
    return comparison_gate(f"not worse than {name}", np.array(ours.ndcg), np.array(theirs.ndcg))


def _manifest(tenant: Tenant, times: TimeSplit, events: int, items: int, taught_by: str, dropped: dict[str, int]) -> Manifest:
    version = tenant.releases.next_version()
    return Manifest(
        version=version,
        parent=tenant.releases.current(),
        created_at=tenant.clock.now(),
        application=tenant.app.name,
        feature_set=tenant.feature_set,
        features=list(tenant.features.names),
        outcomes=list(tenant.app.outcomes),
        items=items,
        events=events,
        fitted_until=times.fitted,
        taught_until=times.taught,
        evaluated_until=times.end,
        examples=taught_by,
        metrics={},
        gates=[],
        embedding_version=version,
        dropped=dropped,
    )


def _with(manifest: Manifest, metrics: dict[str, dict[str, float]], gates: list[Gate]) -> Manifest:
    return msgspec.structs.replace(manifest, metrics=metrics, gates=gates)


def _refused(manifest: Manifest, gates: list[Gate], say: Say) -> Outcome:
    for gate in gates:
        if not gate.passed:
            say(f"refused: {gate.name}: {gate.reason}")
    return Outcome(_with(manifest, manifest.metrics, gates), False)
