"""Items similar to one: what people went on to, and what shares its attributes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from nearline.pipeline.pipeline import Pipeline
from nearline.rerank.available import AvailableFilter, ExcludedFilter
from nearline.rerank.diversity import DiversityRule
from nearline.schema.candidates import F32, I32, NOTHING, Candidates, Ranked
from nearline.schema.components import UserState
from nearline.schema.item import Item
from nearline.schema.kernel import b1, f4, i4, i8, inline, kernel, u1
from nearline.schema.query import Query
from nearline.sources.content import ContentSource
from nearline.sources.covisit import CovisitSource
from nearline.stores.world import OnlineWorld

logger = logging.getLogger("nearline.similar")
BEHAVIOUR = 0.7
"""Share of what people do in the similarity; the rest is shared attributes."""
DEPTH = 200
"""Items asked of each source."""
KINDS = ("behaviour", "content", "both")
_PLACES = 1024
"""Of the table in which both lists meet: a power of two, more than twice their items."""


class Similar(msgspec.Struct, frozen=True, gc=False):
    """One similar item; the score is in 0..1, the type one of `KINDS`."""

    item_id: str
    similarity_score: float
    similarity_type: str
    shared_attributes: list[str]


@inline
def _place(table: I32, found: I32, item: int) -> Any:
    """Return where an item's number is, or the free place where it would go."""
    place = (np.uint32(item) * np.uint32(2654435769)) & np.uint32(_PLACES - 1)
    while table[place] >= 0 and found[table[place]] != item:
        place = (place + np.uint32(1)) & np.uint32(_PLACES - 1)
    return place


@kernel(i4[::1], f4[::1], i4[::1], f4[::1], b1[::1], i8, i4[::1], f4[::1], u1[::1])
def _blend(
    behaviour: I32,
    behaviour_scores: F32,
    content: I32,
    content_scores: F32,
    available: NDArray[np.bool_],
    asked: int,
    items: I32,
    scores: F32,
    kinds: NDArray[np.uint8],
) -> int:
    """Unite two lists, best first, equal ones by slot, without the asked item and what is withdrawn; return how many."""
    table = np.full(_PLACES, -1, np.int32)
    found, types = np.empty(len(items), np.int32), np.empty(len(items), np.uint8)
    sums = np.empty(len(items), np.float32)
    n = 0
    for source in range(2):
        given = behaviour if source == 0 else content
        points = behaviour_scores if source == 0 else content_scores
        share = np.float32(BEHAVIOUR) if source == 0 else np.float32(1 - BEHAVIOUR)
        for j in range(len(given)):
            item = given[j]
            if item == asked or item >= len(available) or not available[item]:
                continue
            score = share * points[j] / points[0]
            place = _place(table, found, item)
            at = table[place]
            if at < 0:
                table[place] = n
                found[n], sums[n], types[n] = item, score, source
                n += 1
            else:
                sums[at] += score
                types[at] = 2
    # Positive floats sort as their bits do; inverted, the best is the smallest.
    bits, keys = sums.view(np.uint32), np.empty(n, np.uint64)
    for i in range(n):
        keys[i] = (np.uint64(~bits[i]) << np.uint64(32)) | np.uint64(found[i])
    keys.sort()
    for i in range(n):
        items[i] = np.int32(keys[i] & np.uint64(0xFFFFFFFF))
        at = table[_place(table, found, items[i])]
        scores[i], kinds[i] = sums[at], types[at]
    return n


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
            behaviour = source.after(asked, DEPTH)
        elif isinstance(source, ContentSource):
            content = source.like(asked, DEPTH)
    size = len(behaviour.items) + len(content.items)
    items, scores, kinds = np.empty(size, np.int32), np.empty(size, np.float32), np.empty(size, np.uint8)
    available = world.columns.available
    n = _blend(behaviour.items, behaviour.scores, content.items, content.scores, available, slot, items, scores, kinds)
    spread = DiversityRule(diversity) if diversity > 0 else None
    user = world.hydrate(query.visitor, query.now)
    places = _kept(pipeline, query, user, items[:n], limit if spread is None else spread.head)
    if spread is not None and len(places):
        spread.bind(world)
        ranked = Ranked(_candidates(items[places]), scores[places])
        places = places[spread.arrange(query, user, ranked, limit)]
    places = places[:limit]
    catalog = world.catalog
    shared = _sharing(catalog.items.get(catalog.ids[slot], Item("")))
    out = []
    for place, score, kind in zip(items[places].tolist(), scores[places].tolist(), kinds[places].tolist(), strict=True):
        item_id = catalog.ids[place]
        # The stream may withdraw it meanwhile.
        if (other := catalog.items.get(item_id)) is not None:
            out.append(Similar(item_id, round(score, 6), KINDS[kind], shared(other)))
    return out


def _kept(pipeline: Pipeline, query: Query, user: UserState, items: I32, wanted: int) -> NDArray[np.intp]:
    """Return the places of items that the filters keep: of the head alone, as long as enough of it are left."""
    # What these two would drop never came in.
    filters = [rule for rule in pipeline.filters if type(rule) not in (AvailableFilter, ExcludedFilter)]
    n = head = len(items)
    if filters:
        head = min(n, 4 * wanted)
    while True:
        keep = np.ones(head, np.bool_)
        candidates = _candidates(items[:head])
        for rule in filters if head else ():
            if pipeline.breakers.open(f"filter:{rule.name}"):
                continue
            try:
                keep &= rule.keep(query, user, candidates)
            except Exception:
                logger.exception("filter failed", extra={"component": rule.name})
        places = np.flatnonzero(keep)
        if head == n or len(places) >= wanted:
            return places
        head = min(n, 4 * head)


def _candidates(items: I32) -> Candidates:
    none, n = np.empty((len(items), 0), np.float32), len(items)
    return Candidates(items, none, none, np.zeros(n, np.int32), np.full(n, -1, np.int32))


def _sharing(origin: Item) -> Callable[[Item], list[str]]:
    """Return what says, in words, which attributes an item has in common with `origin`."""
    category, brand = origin.category, origin.brand
    by_category, by_brand = f"category: {category}", f"brand: {brand}"
    tags = [(tag, f"tag: {tag}") for tag in origin.tags]
    apart = frozenset(origin.tags).isdisjoint

    def shared(other: Item) -> list[str]:
        words = [by_category] if category and category == other.category else []
        if brand and brand == other.brand:
            words.append(by_brand)
        if not apart(own := other.tags):
            words += [word for tag, word in tags if tag in own]
        return words

    return shared
