"""Judging: ranked lists of several pipelines on the same later events, through the code that serves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nearline.batch.metrics import coverage, gini
from nearline.batch.reliability import Reliability, reliability
from nearline.batch.replaying import RENEWED, replay
from nearline.batch.teaching import Lesson, lessons_in_order
from nearline.pipeline.pipeline import Pipeline
from nearline.pipeline.run import Run
from nearline.schema.event import Events
from nearline.stores.world import OnlineWorld

K = 10


@dataclass(slots=True)
class Verdict:
    """What one pipeline did on the cases: NDCG and hit by case, what it showed, and with which probabilities.

    Attributes:
        predicted, happened: of every candidate of the lists that held the target, by outcome, each `[n_outcomes, n] float32`;
            none where no ranker spoke.
    """

    ndcg: list[float] = field(default_factory=list)
    hits: list[float] = field(default_factory=list)
    auc: list[float] = field(default_factory=list)
    lists: list[list[str]] = field(default_factory=list)
    scores: list[NDArray[np.float32]] = field(default_factory=list)
    predicted: list[NDArray[np.float32]] = field(default_factory=list)
    happened: list[NDArray[np.float32]] = field(default_factory=list)

    def metrics(self, n_items: int) -> dict[str, float]:
        """Return the means by name."""
        hits = float(np.mean(self.hits)) if self.hits else 0.0
        shown = Counter(item for items in self.lists for item in items)
        return {
            "ndcg@10": float(np.mean(self.ndcg)) if self.ndcg else 0.0,
            "ndcg@10_error": float(np.std(self.ndcg) / len(self.ndcg) ** 0.5) if self.ndcg else 0.0,
            "recall@10": hits,
            "precision@10": hits / K,
            "auc": float(np.mean(self.auc)) if self.auc else 0.5,
            "coverage": coverage(shown, max(1, n_items)),
            "gini": gini(list(shown.values()), max(1, n_items)),
            "cases": float(len(self.ndcg)),
        }

    def calibration(self, outcomes: Sequence[str]) -> dict[str, Reliability]:
        """Return how predictions compare with what happened, by those of the outcomes that happened at all."""
        if not self.predicted:
            return {}
        predicted, happened = np.concatenate(self.predicted, 1), np.concatenate(self.happened, 1)
        return {name: reliability(p, y) for name, p, y in zip(outcomes, predicted, happened, strict=True) if y.any()}


def judge(
    world: OnlineWorld, events: Events, lessons: Sequence[Lesson], pipelines: Mapping[str, Pipeline]
) -> dict[str, Verdict]:
    """Return each pipeline's verdict; an item absent from the list is a miss.

    Args:
        world: which all pipelines are bound to; it is moved to the end of `events`.
        lessons: one target each, after everything the pipelines were fitted on.
    """
    verdicts = {name: Verdict() for name in pipelines}
    for done, moment in enumerate(replay(world, events, lessons_in_order(lessons))):
        lesson = lessons[moment.label]
        if done % RENEWED == 0:
            for pipeline in pipelines.values():
                pipeline.renew(lesson.moment.query.now)
        target = int(world.item_slots(lesson.items)[0])
        for name, pipeline in pipelines.items():
            run = Run(lesson.moment.query, len(pipeline.sources))
            pipeline.advance(run)
            _enter(verdicts[name], run, target, world)
            _predict(verdicts[name], run, target, lesson.outcomes[0])
    return verdicts


def _enter(verdict: Verdict, run: Run, target: int, world: OnlineWorld) -> None:
    if run.ranked is None:
        place, items = np.empty(0, np.intp), np.empty(0, np.int32)
    else:
        items = run.ranked.candidates.items
        place = np.flatnonzero(items == target)
        verdict.scores.append(run.ranked.scores)
    rank = int(place[0]) + 1 if len(place) else 0
    verdict.hits.append(float(0 < rank <= K))
    verdict.ndcg.append(1.0 / np.log2(rank + 1) if 0 < rank <= K else 0.0)
    if rank and len(items) > 1:
        verdict.auc.append(1.0 - (rank - 1) / (len(items) - 1))
    verdict.lists.append([world.catalog.ids[slot] for slot in items[:K].tolist()])


def _predict(verdict: Verdict, run: Run, target: int, outcomes: NDArray[np.float32]) -> None:
    """Note what was said of each candidate; like a lesson, a list without its target says nothing."""
    if run.scored is None or run.candidates is None or len(run.scored.outcomes) != len(outcomes):
        return
    found = run.candidates.items == target
    if found.any():
        verdict.predicted.append(run.scored.outcomes)
        verdict.happened.append(np.outer(outcomes, found).astype(np.float32))
