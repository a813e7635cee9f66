"""The stages of a request: retrieve, merge, filter, read features, rank, arrange. Knows no business."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from nearline.pipeline.blend import Blend
from nearline.pipeline.breaker import Breakers
from nearline.pipeline.budget import STAGES, Limits
from nearline.pipeline.feature_set import FeatureSet
from nearline.pipeline.item_steps import item_steps
from nearline.pipeline.merge import merge
from nearline.pipeline.ordering import combined, head, ordered
from nearline.pipeline.quotas import BySurface, Quota, quotas
from nearline.pipeline.run import Run, Scored
from nearline.pipeline.shelving import dealt, groups
from nearline.pipeline.steps import Step, has_candidates, is_scored, is_short, sometimes, unranked, wants_rows, wants_rules
from nearline.schema.candidates import F32, NOTHING, Arranged, Ranked, Retrieved
from nearline.schema.components import (
    Adjustment,
    Arrangement,
    Feature,
    Filter,
    ItemFeature,
    Ranker,
    ReadContext,
    Renewing,
    Reserving,
    Slacking,
    Source,
    UserState,
    World,
)
from nearline.schema.query import Query
from nearline.schema.taking import absent

HEAD = 200
"""Ranked candidates that rules get to see, at least."""


class HydratingWorld(World, Protocol):
    """A world that also reads a visitor's rows."""

    def hydrate(self, visitor: int, now: int) -> UserState:
        """Return a visitor's rows at `now`."""
        ...


class Pipeline:
    """Bound components of one application and release, as steps. Immutable, so a swap is one assignment.

    Args:
        ranker, light: `None` before the first release.
        weights: of the outcomes, `[n_outcomes] float32`.
        release: version, "" before the first.
        by_surface: quotas of sources by surface, where the settings give any.

    Attributes:
        plans: the steps by surface.
    """

    def __init__(
        self,
        world: HydratingWorld,
        sources: Sequence[Source],
        features: FeatureSet,
        ranker: Ranker | None,
        light: Ranker | None,
        filters: Sequence[Filter],
        adjustments: Sequence[Adjustment],
        arrangements: Sequence[Arrangement],
        weights: F32,
        limits: Limits,
        breakers: Breakers,
        release: str = "",
        by_surface: BySurface | None = None,
    ) -> None:
        self.world, self.sources, self.features = world, tuple(sources), features.of(sources)
        self.ranker, self.light, self.weights = ranker, light, weights
        self.filters, self.adjustments, self.arrangements = tuple(filters), tuple(adjustments), tuple(arrangements)
        self.limits, self.breakers, self.release = limits, breakers, release
        self._slacking = [rule for rule in filters if isinstance(rule, Slacking)]
        lifting = (*adjustments, *(rule for rule in arrangements if isinstance(rule, Reserving)))
        self._lifting = [sometimes(rule, None) for rule in lifting]
        self._slices = {stage: limits.of(stage) for stage in ("hydrate", "merge", *STAGES)}
        self._blend = Blend(self.sources)
        self.per_candidate = 1e-6
        first, rest = Step("hydrate", "hydrate", self._hydrate, core=True), self._steps()
        asked = quotas(self.sources, by_surface or {})
        self.plans: Mapping[str, tuple[Step, ...]] = {
            surface: (first, *(self._ask(quota) for quota in chosen), *rest) for surface, chosen in asked.items()
        }

    def plan(self, query: Query) -> tuple[Step, ...]:
        """Return the steps of a request, as its surface has them."""
        return self.plans.get(query.surface) or self.plans["homepage"]

    def _steps(self) -> list[Step]:
        """Return what comes after retrieval."""
        steps = [Step("merge", "merge", self._merge, core=True)]
        for rule in self.filters:
            steps.append(Step("merge", f"filter:{rule.name}", self._filter(rule), wanted=sometimes(rule, has_candidates)))
        steps.append(Step("merge", "sift", self._sift, core=True))
        if self.ranker is not None:
            steps.append(Step("features", "cut", self._cut, core=True, wanted=has_candidates))
            for feature, rows in self.features:
                if not isinstance(feature, ItemFeature):
                    act = self._feature(feature, rows)
                    steps.append(Step("features", f"feature:{feature.name}", act, wanted=has_candidates))
            steps += item_steps(self.world, self.features)
            steps.append(Step("ranking", "ranker", self._rank(self.ranker, "ranker"), wanted=unranked))
        if self.light is not None:
            act = self._rank(self.light, "light_ranker")
            steps.append(Step("ranking", "light_ranker", act, wanted=unranked, spare=True))
        steps.append(Step("rules", "fuse", self._fuse, core=True, wanted=unranked))
        for adjustment in self.adjustments:
            act = self._adjust(adjustment)
            steps.append(Step("rules", f"rule:{adjustment.name}", act, wanted=sometimes(adjustment, is_scored)))
        steps.append(Step("rules", "order", self._order, core=True, wanted=has_candidates))
        for arrangement in self.arrangements:
            name, wanted = f"rule:{arrangement.name}", sometimes(arrangement, wants_rules)
            if isinstance(arrangement, Reserving):
                steps.append(Step("rules", name, self._reserve(arrangement), wanted=wanted))
            steps.append(Step("rules", name, self._arrange(arrangement), wanted=wanted))
        steps.append(Step("rules", "rows", self._shelve, core=True, wanted=wants_rows))
        return steps

    def _ask(self, quota: Quota) -> Step:
        # More of one source than are ranked would not be.
        act = self._fetch(quota.place, min(quota.most, self.limits.candidates_ranked))
        source = self.sources[quota.place]
        wanted = sometimes(source, is_short if quota.fills else None)
        return Step("candidates", f"source:{source.name}", act, wanted=wanted)

    def reach(self, sources: set[str]) -> str:
        """Return how personal a list of items from named sources is: personal, segment or popular."""
        return self._blend.reach(sources)

    def advance(self, run: Run) -> bool:
        """Take the run through its remaining steps; return False where it was abandoned meanwhile."""
        steps, limited, breakers = self.plan(run.query), run.query.limits, self.breakers
        while run.step < len(steps):
            step = steps[run.step]
            now = time.monotonic()
            if step.stage is not run.stage:
                if run.stage:
                    run.times[run.stage] = run.times.get(run.stage, 0.0) + now - run.stage_started
                run.stage, run.stage_started = step.stage, now
            if step.wanted is None or step.wanted(run):
                late = limited and not (step.core or step.spare) and now - run.stage_started > self._slices[step.stage]
                if late or (not step.core and breakers.busy and breakers.open(step.name)):
                    run.missing.append(step.name)
                else:
                    run.step_started = now
                    try:
                        step.act(run)
                        if breakers.busy and not step.core and not run.abandoned:
                            breakers.worked(step.name)
                    except Exception as error:
                        if step.core:
                            raise
                        self._note(run, step.name, error)
                    if run.watch is not None and not run.abandoned:
                        run.watch(step.name, run)
                    run.step_started = 0.0
                    if run.abandoned:
                        return False
            run.step += 1
        run.times[run.stage] = run.times.get(run.stage, 0.0) + time.monotonic() - run.stage_started
        return True

    def renew(self, now: int) -> None:
        """Let the components that have an index bring it up to date, beside the requests."""
        for component in (*self.sources, *self.filters, *self.adjustments, *self.arrangements):
            if isinstance(component, Renewing):
                component.renew(now)

    def slice_of(self, step: Step) -> float:
        """Return the seconds that a step may take: its stage's, for a filter those of a rule."""
        return self.limits.rules if step.stage == "merge" and not step.core else self.limits.of(step.stage)

    def _note(self, run: Run, name: str, error: Exception) -> None:
        if run.abandoned:
            return
        self.breakers.failed(name)
        run.missing.append(name)
        run.trace.setdefault("errors", {})[name] = repr(error)

    def _hydrate(self, run: Run) -> None:
        run.version = self.world.version
        run.user = self.world.hydrate(run.query.visitor, run.query.now)
        run.offset = run.user.seen
        run.slack = sum(rule.slack(run.user) for rule in self._slacking)
        if run.query.filters:
            # Most of what the sources usually find will not match: each is asked twice as deep.
            run.slack += self.limits.candidates_kept

    def _fetch(self, place: int, quota: int) -> Callable[[Run], None]:
        source = self.sources[place]

        def act(run: Run) -> None:
            assert run.user is not None
            limit = quota + min(quota, run.slack)
            run.retrieved[place] = _checked(source.fetch(run.query, run.user, limit), limit)

        return act

    def _merge(self, run: Run) -> None:
        lists = [run.retrieved.get(place, NOTHING) for place in range(len(self.sources))]
        room = min(self.world.n_items, len(self.world.columns.available))
        # What the filters will drop does not count against the limit.
        run.candidates = merge(lists, room, self.limits.candidates_kept + run.slack * len(lists))
        if run.query.debug:
            run.trace["sources"] = {s.name: len(r.items) for s, r in zip(self.sources, lists, strict=True)}

    def _filter(self, rule: Filter) -> Callable[[Run], None]:
        def act(run: Run) -> None:
            assert run.user is not None
            assert run.candidates is not None
            keep = rule.keep(run.query, run.user, run.candidates)
            if keep.dtype != np.bool_ or keep.shape != run.candidates.items.shape:
                raise ValueError(f"keep returned {keep.dtype} {keep.shape} for {len(run.candidates)} candidates")
            if run.query.debug:
                run.trace.setdefault("filters", {})[rule.name] = run.candidates.items[~keep]
            run.keep = keep if run.keep is None else run.keep & keep

        return act

    def _sift(self, run: Run) -> None:
        keep, run.keep = run.keep, None
        assert run.candidates is not None
        if keep is None:
            keep = np.ones(len(run.candidates), np.bool_)
        # Whatever the filters did: what is not in the catalogue is never shown.
        run.candidates = run.candidates.sifted(keep, self.world.columns.available)

    def _cut(self, run: Run) -> None:
        assert run.candidates is not None
        n = min(len(run.candidates), self.limits.candidates_ranked)
        if run.query.limits:
            if not self._lifts(run):
                n = min(n, _seen(run.query))
            left = self.limits.total - self.limits.rules - run.elapsed()
            n = min(n, max(50, int(left / self.per_candidate)))
        if n < len(run.candidates):
            run.candidates = run.candidates.take(head(run.candidates.fusion, n))
        run.matrix = np.empty((len(self.features), len(run.candidates)), np.float32)

    def _lifts(self, run: Run) -> bool:
        """Return whether anything may lift what stands far down: then it must have been ranked."""
        if run.query.rows is not None:
            return True
        return run.query.rules and any(wanted is None or wanted(run) for wanted in self._lifting)

    def _feature(self, feature: Feature, rows: slice) -> Callable[[Run], None]:
        def act(run: Run) -> None:
            assert run.user is not None
            assert run.candidates is not None
            assert run.matrix is not None
            out = run.matrix[rows]
            if out.shape[1] != len(run.candidates):
                raise ValueError("the matrix is not of these candidates")
            context = run.context
            if context is None or context.candidates is not run.candidates:
                context = ReadContext(run.query, run.user, run.candidates, self.world.rows, self.world.columns)
                run.context = context
            try:
                feature.read(context, out)
            except Exception:
                out[:] = np.nan
                raise

        return act

    def _rank(self, ranker: Ranker, served_from: str) -> Callable[[Run], None]:
        def act(run: Run) -> None:
            assert run.candidates is not None
            matrix = run.matrix
            if matrix is None or matrix.shape[1] != len(run.candidates):
                raise ValueError("no features to rank by")
            for feature, rows in self.features if run.missing else ():
                if f"feature:{feature.name}" in run.missing:
                    matrix[rows] = np.nan
            run.exact = run.version % 2 == 0 and run.version == self.world.version
            outcomes = ranker.score(matrix)
            if outcomes.shape != (len(self.weights), matrix.shape[1]):
                raise ValueError(f"score returned {outcomes.shape} for {matrix.shape[1]} candidates")
            scores, order, finite = combined(outcomes, self.weights)
            if not finite:
                raise ValueError("no score is finite")
            if run.abandoned:
                return
            run.scored = Scored(scores, outcomes, order, served_from)
            spent = time.monotonic() - run.step_started + run.times.get("features", 0.0)
            self.per_candidate += 0.05 * (spent / max(1, len(run.candidates)) - self.per_candidate)

        return act

    keep_matrix = False
    """Whether served features are kept for the impression."""

    def _fuse(self, run: Run) -> None:
        assert run.candidates is not None
        assert run.user is not None
        order = self._blend.order(run.user, run.candidates)
        scores = np.empty(len(order), np.float32)
        scores[order] = 1.0 / (60.0 + np.arange(1, len(order) + 1))
        run.matrix = None
        run.scored = Scored(scores, np.empty((0, len(order)), np.float32), order, "retrieval")

    def _adjust(self, rule: Adjustment) -> Callable[[Run], None]:
        def act(run: Run) -> None:
            assert run.user is not None
            assert run.candidates is not None
            assert run.scored is not None
            scored = run.scored
            scores = rule.adjust(run.query, run.user, run.candidates, scored.scores)
            if scores is scored.scores:
                return
            if scores.shape != scored.scores.shape or not np.isfinite(scores).all():
                raise ValueError(f"adjust returned {scores.shape}, or not all finite, for {len(run.candidates)} candidates")
            if not run.abandoned:
                run.scored = scored._replace(scores=np.ascontiguousarray(scores, np.float32), order=None)

        return act

    def _order(self, run: Run) -> None:
        assert run.candidates is not None
        assert run.scored is not None
        scores, outcomes, order, served_from = run.scored
        if order is None:
            order = ordered(scores)
        whole = order
        if run.query.limits and run.query.rows is None:
            # Rules look at the head; evaluation, which runs without limits, at every candidate.
            order = order[: _seen(run.query)]
        matrix, ranked = run.matrix, Ranked(run.candidates.take(order), scores[order], outcomes[:, order])
        if matrix is not None:
            matrix = matrix[:, order] if run.query.debug or self.keep_matrix else None
        if not run.abandoned:
            run.whole = whole, run.matrix if matrix is not None else None
            run.served_from, run.ranked, run.matrix = served_from, ranked, matrix

    def _reserve(self, rule: Reserving) -> Callable[[Run], None]:
        def act(run: Run) -> None:
            assert run.user is not None
            assert run.candidates is not None
            assert run.scored is not None
            assert run.ranked is not None
            assert run.whole is not None
            order, matrix = run.whole
            items = run.candidates.items[order]
            places = order[absent(items, rule.reserve(run.query, run.user, items), run.ranked.candidates.items)]
            if not len(places) or run.abandoned:
                return
            scored = run.scored
            more = Ranked(run.candidates.take(places), scored.scores[places], scored.outcomes[:, places])
            if run.matrix is not None and matrix is not None:
                run.matrix = np.concatenate((run.matrix, matrix[:, places]), axis=1)
            run.ranked = run.ranked.followed(more)

        return act

    def _arrange(self, rule: Arrangement) -> Callable[[Run], None]:
        def act(run: Run) -> None:
            assert run.user is not None
            assert run.ranked is not None
            places = rule.arrange(run.query, run.user, run.ranked, run.query.page_size)
            if isinstance(places, Arranged):
                run.ranked, places = places.of(run.ranked), places.places
            else:
                run.ranked = run.ranked.take(places)
            if run.matrix is not None:
                run.matrix = run.matrix[:, places]

        return act

    def _shelve(self, run: Run) -> None:
        page, user, ranked = run.query.rows, run.user, run.ranked
        assert page is not None
        assert user is not None
        assert ranked is not None

        def arranged(own: Ranked, size: int) -> Ranked:
            for rule in self.arrangements if run.query.rules else ():
                name = f"rule:{rule.name}"
                late = run.query.limits and time.monotonic() - run.stage_started > self.limits.rules
                if late or name in run.missing or (self.breakers.busy and self.breakers.open(name)):
                    run.missing += [name] if name not in run.missing else []
                    continue
                try:
                    places = rule.arrange(run.query, user, own, size)
                    own = places.of(own) if isinstance(places, Arranged) else own.take(places)
                except Exception as error:
                    self._note(run, name, error)
            return own

        shelves = dealt(page, groups(page, run.query, ranked, self.sources, run.retrieved, self.world), arranged)
        if not run.abandoned:
            run.shelves = shelves


def _seen(query: Query) -> int:
    """Return how many places rules look at, for a list."""
    return max(HEAD, 10 * query.page_size)


def _checked(found: Retrieved, quota: int) -> Retrieved:
    """Return at most `quota` items, in the types that merging compiled for; a source's mistake is its own."""
    items, scores, because = found.items, found.scores, found.because
    if not len(items) == len(scores) == len(because):
        raise ValueError(f"{len(items)} items with {len(scores)} scores and {len(because)} reasons")
    if items.dtype != np.int32 or scores.dtype != np.float32 or because.dtype != np.int32:
        found = Retrieved(items.astype(np.int32), scores.astype(np.float32), because.astype(np.int32))
    if len(items) > quota:
        found = Retrieved(found.items[:quota], found.scores[:quota], found.because[:quota])
    return found
