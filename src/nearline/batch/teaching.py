"""Teaching lists: what the ranker learns from, read by the code that serves, as of the moment it happened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nearline.batch.replaying import Moment
from nearline.pipeline.ordering import ordered
from nearline.pipeline.pipeline import Pipeline
from nearline.pipeline.run import Run
from nearline.schema.candidates import F32, I32, Candidates
from nearline.schema.components import Examples, Places, ReadContext
from nearline.schema.event import Events
from nearline.schema.kinds import Kinds
from nearline.schema.query import Query

OCTAVE, EACH = 8, 5
"""Passed-over candidates kept of a sampled list: so many of the best `OCTAVE` by retrieval, and of each octave below."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """Items with known outcomes at a moment.

    Attributes:
        moment: when, and who asked.
        items: keys, `[n] uint64`.
        outcomes: `[n, n_outcomes] float32`.
        complete: whether `items` are all that was shown (an impression); else the other candidates are negatives.
        places: where they stood, of an impression.
        weight: lists that this one stands for.
    """

    moment: Moment
    items: NDArray[np.uint64]
    outcomes: F32
    complete: bool
    places: Places | None = None
    weight: float = 1.0


def sampled_lessons(events: Events, kinds: Kinds, after: int, until: int, most: int, seed: int) -> list[Lesson]:
    """Return lessons from outcome events in (after, until] (ms UTC): a stated random sample, in offset order."""
    wanted = np.isin(events["kind"], kinds.outcomes) & (events["item"] != 0)
    wanted &= (events["ts"] > after) & (events["ts"] <= until) & (events["weight"] > 0)
    places = np.flatnonzero(wanted)
    if len(places) > most:
        places = np.sort(np.random.default_rng(seed).choice(places, most, replace=False))
    lessons: list[Lesson] = []
    for place in places.tolist():
        event = events[place]
        outcomes = np.zeros((1, len(kinds.outcomes)), np.float32)
        outcome = kinds.outcomes.index(int(event["kind"]))
        outcomes[0, outcome] = kinds.share(outcome, int(event["dwell"]))
        query = Query(int(event["user"]), int(event["ts"]), limits=False, log=False)
        moment = Moment(int(event["offset"]), query, len(lessons))
        lessons.append(Lesson(moment, events["item"][place : place + 1].copy(), outcomes, False))
    return lessons


class Teacher:
    """Reads lessons off a pipeline as training rows.

    Args:
        pipeline: sources fitted before the lessons; its ranker is not used.
        seed: for the draw of negatives.
    """

    def __init__(self, pipeline: Pipeline, outcomes: Sequence[str], seed: int) -> None:
        self.pipeline, self.outcomes = pipeline, tuple(outcomes)
        self._random = np.random.default_rng(seed)
        self._x: list[F32] = []
        self._y: list[F32] = []
        self._weight: list[F32] = []
        self._places: list[Places | None] = []
        self.missed = 0

    def take(self, lesson: Lesson) -> None:
        """Read one lesson at the world's present state; a list without its positives teaches nothing."""
        pipeline, world = self.pipeline, self.pipeline.world
        run = Run(lesson.moment.query, len(pipeline.sources))
        gather(pipeline, run)
        assert run.candidates is not None
        shown = world.item_slots(lesson.items)
        if lesson.complete:
            candidates, y = _shown(run.candidates, shown), lesson.outcomes
            weight = np.full(len(y), lesson.weight, np.float32)
        else:
            found = _draw(run.candidates, shown, lesson.outcomes, self._random)
            if found is None:
                self.missed += 1
                return
            candidates, y, weight = found
        assert run.user is not None
        context = ReadContext(run.query, run.user, candidates, world.rows, world.columns)
        self._x.append(pipeline.features.read(context).T)
        self._y.append(y)
        self._weight.append(weight)
        self._places.append(lesson.places)

    def examples(self) -> Examples:
        """Return everything taken so far."""
        n, width = len(self.pipeline.features), len(self.outcomes)
        group = np.repeat(np.arange(len(self._x), dtype=np.int32), [len(x) for x in self._x])
        return Examples(
            np.ascontiguousarray(np.concatenate(self._x)) if self._x else np.empty((0, n), np.float32),
            np.concatenate(self._y) if self._y else np.empty((0, width), np.float32),
            np.concatenate(self._weight) if self._weight else np.empty(0, np.float32),
            group,
            self.pipeline.features.names,
            self.outcomes,
            joined(self._places, [len(x) for x in self._x]),
        )


def joined(places: Sequence[Places | None], rows: Sequence[int]) -> Places | None:
    """Return the places of all lists' rows, `None` where none has any."""
    if not any(places):
        return None
    each = [own or Places.none(n) for own, n in zip(places, rows, strict=True)]
    return Places(
        np.concatenate([own.rank for own in each]),
        np.concatenate([own.surface for own in each]),
        np.concatenate([own.propensity for own in each]),
        np.concatenate([own.doubtful for own in each]),
    )


def gather(pipeline: Pipeline, run: Run) -> None:
    """Take a run through hydration, retrieval, merging and filters only; any failure is raised."""
    for step in pipeline.plan(run.query):
        if step.stage not in ("hydrate", "candidates", "merge"):
            break
        if step.wanted is None or step.wanted(run):
            step.act(run)


def _shown(candidates: Candidates, shown: I32) -> Candidates:
    """Return shown items with what the sources say of them now; nothing where none retrieved them."""
    place = np.full(int(max(shown.max(initial=0), candidates.items.max(initial=0))) + 1, -1)
    place[candidates.items] = np.arange(len(candidates))
    at = place[shown]
    known = at >= 0
    out = Candidates(
        shown.astype(np.int32),
        np.zeros((len(shown), candidates.retrieval.shape[1]), np.float32),
        np.zeros((len(shown), candidates.retrieval.shape[1]), np.float32),
        np.zeros(len(shown), np.int32),
        np.full(len(shown), -1, np.int32),
    )
    out.retrieval[known] = candidates.retrieval[at[known]]
    out.ranks[known] = candidates.ranks[at[known]]
    return out


def _draw(
    candidates: Candidates, positives: I32, outcomes: F32, random: np.random.Generator
) -> tuple[Candidates, F32, F32] | None:
    target = np.flatnonzero(np.isin(candidates.items, positives))
    if not len(target):
        return None
    order = ordered(candidates.fusion)
    others, shares = octaves(order[~np.isin(order, target)], random)
    places = np.concatenate([target, others])
    y = np.zeros((len(places), outcomes.shape[1]), np.float32)
    for row, place in enumerate(target):
        y[row] = outcomes[np.flatnonzero(positives == candidates.items[place])[0]]
    weight = np.concatenate([np.ones(len(target), np.float32), shares])
    return candidates.take(places), y, weight


def octaves(order: I32, random: np.random.Generator) -> tuple[I32, F32]:
    """Return a few of each octave of an order (places 0 to 7, 8 to 15, 16 to 31 …), and how many each of them stands for.

    The sum over them estimates that over all candidates, and most precisely where the lists are decided.
    """
    kept, weights = [order[:0]], [np.empty(0, np.float32)]
    begin, end = 0, OCTAVE
    while begin < len(order):
        octave = order[begin:end]
        drawn = random.choice(octave, min(EACH, len(octave)), replace=False)
        kept.append(drawn)
        weights.append(np.full(len(drawn), len(octave) / len(drawn), np.float32))
        begin, end = end, 2 * end
    return np.concatenate(kept), np.concatenate(weights)


def lessons_in_order(lessons: Sequence[Lesson]) -> Iterator[Moment]:
    """Yield the moments of lessons by offset; `label` is the place of the lesson."""
    yield from (lesson.moment for lesson in sorted(lessons, key=lambda each: each.moment.offset))
