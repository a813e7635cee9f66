"""Why an item is in a visitor's list, or why not: one traced run, looked at for that item."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from nearline.pipeline.ordering import fusion_parts
from nearline.pipeline.pipeline import Pipeline
from nearline.pipeline.run import Run
from nearline.pipeline.tracing import Snapshot, Tracer
from nearline.schema.served import Explanation, Served
from nearline.serving.why_words import ANSWERS, NEEDED
from nearline.stores.world import OnlineWorld


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """A source that retrieved the item, at which rank of how many; `score` is on its own scale, `share` as in lists."""

    source: str
    rank: int
    of: int
    score: float
    share: float = 0.0
    source_item_id: str = ""


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one step did to the item: its rank and score after it; rank 0 where nothing was ordered yet.

    Attributes:
        of: candidates that were left.
        was_rank, was_score: before the step, where there was a rank.
    """

    step: str
    of: int
    rank: int = 0
    score: float | None = None
    was_rank: int = 0
    was_score: float | None = None


class LastShown(msgspec.Struct, frozen=True):
    """The last item of the list: what has to be passed. `gap` is its score less that of the item asked about."""

    item_id: str
    rank: int
    score: float
    gap: float | None


class Why(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why an item is in the list, or why not.

    Attributes:
        verdict: one of the keys of `ANSWERS`.
        answer, needed: the same in words, and what it would take.
        rank: in the list, 0 where it is not shown.
        final_rank, score: after the last step that had it.
        lost_at: the step that dropped it, "" for none.
        filtered_by: every filter that dropped it.
        retrieved_by: best rank first.
        changes: what the steps from ranking on did to it, in order.
        missing: components that were late or failed in this run.
    """

    item_id: str
    verdict: str
    answer: str
    needed: str
    model_version: str
    served_from: str
    offset: int
    rank: int = 0
    final_rank: int = 0
    score: float | None = None
    lost_at: str = ""
    explanation: Explanation | None = None
    filtered_by: list[str] = []
    retrieved_by: list[Finding] = []
    changes: list[Change] = []
    last_shown: LastShown | None = None
    missing: tuple[str, ...] = ()


def why(run: Run, pipeline: Pipeline, served: Served, world: OnlineWorld, item_id: str) -> Why:
    """Return the answer for one item.

    Args:
        run: finished, watched by a `Tracer`.
        served: the list that came of it.
        item_id: has a slot.
    """
    assert isinstance(run.watch, Tracer)
    slot, catalog = world.catalog.slot(item_id), world.catalog
    snapshots = run.watch.snapshots
    seen = [(snapshot, place) for snapshot in snapshots if (place := snapshot.place(slot)) >= 0]
    lost = next((snapshot.step for snapshot in snapshots[len(seen) :]), "") if len(seen) < len(snapshots) else ""
    shown = next((item for item in served.items if item.item_id == item_id), None)
    filters = [name for name, gone in run.trace.get("filters", {}).items() if slot in gone]
    ranked = [(snapshot, place) for snapshot, place in seen if snapshot.scores is not None]
    changes = _changes(ranked)
    found = _findings(run, pipeline, world, slot)
    final = changes[-1] if changes else None
    fell_back = run.ranked is None or not len(run.ranked.scores)
    if shown is not None:
        verdict = "shown"
    elif item_id not in catalog.items or not world.columns.available[slot]:
        verdict = "withdrawn"
    elif fell_back:
        verdict = "fallback"
    elif not found:
        verdict = "not_retrieved"
    elif filters:
        verdict = "filtered"
    elif not seen:
        verdict = "crowded_out"
    elif lost == "cut":
        verdict = "not_ranked"
    else:
        verdict = "outranked"
    last = served.items[-1] if served.items else None
    score = shown.score if shown is not None else None if final is None else final.score
    bottom = None
    if last is not None and last.item_id != item_id:
        bottom = LastShown(last.item_id, last.rank, last.score, None if score is None else last.score - score)
    by_score = next((snapshot.rank(place) for snapshot, place in reversed(ranked) if not snapshot.ordered), 0)
    if verdict == "outranked" and (by_score <= len(served.items) or (bottom and bottom.gap is not None and bottom.gap < 0)):
        verdict = "arranged"
    moved = [change.step for change in changes if 0 < change.was_rank < change.rank]
    rules = [snapshot.step for snapshot in snapshots if snapshot.step.startswith("rule:") and snapshot.ordered]
    words = {
        "item": item_id,
        "rank": shown.rank if shown else final.rank if final else 0,
        "of": len(served.items),
        "filters": ", ".join(filters),
        "by_score": by_score,
        "step": lost if lost in rules else next(iter([*reversed(moved), *reversed(rules)]), "an arrangement"),
        "last": "" if last is None else last.item_id,
        "gap": "" if bottom is None or bottom.gap is None else f"{bottom.gap:.4g}",
        "because": "" if shown is None else shown.explanation.reason,
        "from": served.served_from,
        "sources": ", ".join(f"{one.source} at rank {one.rank}" for one in found) or "no source",
    }
    return Why(
        item_id,
        verdict,
        ANSWERS[verdict].format_map(words),
        NEEDED[verdict].format_map(words),
        served.model_version,
        served.served_from,
        served.offset,
        rank=0 if shown is None else shown.rank,
        final_rank=0 if final is None else final.rank,
        score=score,
        lost_at=lost if found and shown is None else "",
        explanation=None if shown is None else shown.explanation,
        filtered_by=filters,
        retrieved_by=found,
        changes=changes,
        last_shown=bottom,
        missing=served.missing,
    )


def _findings(run: Run, pipeline: Pipeline, world: OnlineWorld, slot: int) -> list[Finding]:
    ids, found = world.catalog.ids, []
    ranks = np.zeros((1, len(pipeline.sources)), np.float32)
    for s, retrieved in run.retrieved.items():
        places = np.flatnonzero(retrieved.items == slot)
        if len(places):
            ranks[0, s] = 1.0 / (int(places[0]) + 1)
    parts = fusion_parts(ranks)[0]
    for s in np.flatnonzero(ranks[0]).tolist():
        retrieved = run.retrieved[s]
        place = int(np.flatnonzero(retrieved.items == slot)[0])
        because = int(retrieved.because[place])
        found.append(
            Finding(
                pipeline.sources[s].name,
                place + 1,
                len(retrieved.items),
                float(retrieved.scores[place]),
                round(float(parts[s]), 4),
                ids[because] if because >= 0 else "",
            )
        )
    return sorted(found, key=lambda one: (one.rank, one.source))


def _changes(seen: Sequence[tuple[Snapshot, int]]) -> list[Change]:
    """Return what each step from ranking on did; one that only ordered by score says nothing new."""
    out: list[Change] = []
    for snapshot, place in seen:
        assert snapshot.scores is not None
        rank, score = snapshot.rank(place), float(snapshot.scores[place])
        if not out:
            out.append(Change(snapshot.step, len(snapshot.items), rank, score))
        elif (rank, score) != (out[-1].rank, out[-1].score):
            out.append(Change(snapshot.step, len(snapshot.items), rank, score, out[-1].rank, out[-1].score))
    return out
