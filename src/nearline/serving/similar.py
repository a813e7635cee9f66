"""Items similar to one: what people went on to, and what shares its attributes."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from nearline.pipeline.pipeline import Pipeline
from nearline.rerank.diversity import DiversityRule
from nearline.schema.candidates import NOTHING, Candidates, Ranked, Retrieved
from nearline.schema.components import UserState
from nearline.schema.item import Item
from nearline.schema.query import Query
from nearline.sources.content import ContentSource
from nearline.sources.covisit import CovisitSource
from nearline.stores.world import OnlineWorld

logger = logging.getLogger("nearline.similar")
BEHAVIOUR = 0.7
"""Share of what people do in the similarity; the rest is shared attributes."""


@dataclass(frozen=True, slots=True)
class Similar:
    """One similar item; the score is in 0..1, the type "behaviour", "content" or "both"."""

    item_id: str
    similarity_score: float
    similarity_type: str
    shared_attributes: list[str]


def similar_items(
    world: OnlineWorld, pipeline: Pipeline, slot: int, query: Query, limit: int, diversity: float
) -> list[Similar]:
    """Return items similar to the one in `slot`, best first.

    Args:
        diversity: trade of `DiversityRule`, 0..1.
    """
    asked = np.array([slot], np.int32)
    behaviour = content = NOTHING
    for source in pipeline.sources:
        if isinstance(source, CovisitSource):
            behaviour = source.after(asked, 200)
        elif isinstance(source, ContentSource):
            content = source.like(asked, 200)
    items = np.union1d(behaviour.items, content.items).astype(np.int32)
    scores = np.zeros((2, len(items)), np.float32)
    for row, found, share in ((0, behaviour, BEHAVIOUR), (1, content, 1 - BEHAVIOUR)):
        if len(found.items):
            scores[row, np.searchsorted(items, found.items)] = share * found.scores / found.scores[0]
    order = np.argsort(-scores.sum(axis=0), kind="stable")
    ranked = _ranked(items[order], scores.sum(axis=0)[order])
    scores = scores[:, order]
    user: UserState = world.hydrate(query.visitor, query.now)
    keep = np.ones(len(items), np.bool_)
    for rule in pipeline.filters if len(items) else ():
        if pipeline.breakers.open(f"filter:{rule.name}"):
            continue
        try:
            keep &= rule.keep(query, user, ranked.candidates)
        except Exception:
            logger.exception("filter failed", extra={"component": rule.name})
    keep &= world.columns.available[ranked.candidates.items]
    ranked, scores = ranked.take(keep), scores[:, keep]
    if diversity > 0 and len(ranked.scores):
        spread = DiversityRule(diversity)
        spread.bind(world)
        places = spread.arrange(query, user, ranked, limit)
        ranked, scores = ranked.take(places), scores[:, places]
    catalog = world.catalog
    origin = catalog.items.get(catalog.ids[slot], Item(""))
    out = []
    for place, item in enumerate(ranked.candidates.items[:limit].tolist()):
        kind = "both" if scores[:, place].all() else "behaviour" if scores[0, place] else "content"
        other = catalog.items[catalog.ids[item]]
        out.append(Similar(other.item_id, round(float(ranked.scores[place]), 6), kind, _shared(origin, other)))
    return out


def _ranked(items: np.ndarray[tuple[int], np.dtype[np.int32]], scores: np.ndarray[tuple[int], np.dtype[np.float32]]) -> Ranked:
    found = Retrieved(items, scores, np.full(len(items), -1, np.int32))
    none = np.zeros((len(items), 0), np.float32)
    return Ranked(Candidates(found.items, none, none, np.zeros(len(items), np.int32), found.because), found.scores)


def _shared(a: Item, b: Item) -> list[str]:
    shared = [f"category: {a.category}"] if a.category and a.category == b.category else []
    shared += [f"brand: {a.brand}"] if a.brand and a.brand == b.brand else []
    return shared + [f"tag: {tag}" for tag in a.tags if tag in b.tags]
