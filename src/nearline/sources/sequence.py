"""Sequence: two towers, a visitor by his last events in their order and an item by itself and its attributes."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nearline.features.history import HistoryFold
from nearline.models.extra import REMEDY, SERVING, missing
from nearline.models.session import OnnxSession
from nearline.models.tower_graph import INPUTS, OUTPUTS
from nearline.models.user_tower import Shape
from nearline.schema.candidates import F32, I32, NOTHING, Retrieved
from nearline.schema.components import Arrays, FitData, Fold, Stateful, UserState, World
from nearline.schema.kernel import b1, f4, i4, kernel
from nearline.schema.query import Query
from nearline.sources.event_window import EventWindow, event_window
from nearline.sources.indexing import Indexing
from nearline.sources.sequence_learning import goes_on, learned, recipe_for, shape_of, stream_of
from nearline.sources.slot_vectors import SlotVectors, product, products, slot_vectors
from nearline.sources.vector_search import VectorSearch

logger = logging.getLogger("nearline.sequence")
BUCKETS = 4096
KEPT = 10_000
"""Histories whose vectors are kept, the tower being the dearest part of a list."""
FLOOR = 16.0
"""What a candidate is told is the log of its probability above e⁻¹⁶."""


@kernel(f4[:, ::1], f4[::1], i4[::1], f4[::1], f4[::1], f4[::1], f4[::1])
def _explained(vectors: F32, taste: F32, recent: I32, decay: F32, best: F32, scores: F32, chances: F32) -> tuple[int, float]:
    """Fill the chances of the first items by their scores; return the recent item that speaks most, and the log of the sum.

    Args:
        recent: oldest first.
        decay: what the last event counts, the one before, ...
        best: scores that the sum is over, the greatest first.
    """
    mass = 0.0
    for i in range(len(best)):
        mass += np.exp(best[i] - best[0])
    total = best[0] + np.log(mass)
    for i in range(len(chances)):
        chances[i] = np.exp(scores[i] - total)
    n = len(recent)
    near = np.empty(n, np.float32)
    for i in range(n):
        near[i] = product(vectors[recent[i]], taste)
    least, most, reason = near.min(), np.float32(-np.inf), recent[n - 1]
    for i in range(n - 1, -1, -1):
        said = decay[n - 1 - i] * (near[i] - least)
        if said > most:
            most, reason = said, recent[i]
    return reason, total


@kernel(b1[::1], i4[::1], f4, f4[::1])
def _above(known: NDArray[np.bool_], items: I32, floor: float, out: F32) -> None:
    for i in range(len(items)):
        out[i] = max(out[i] - floor, np.float32(0.0)) if items[i] < len(known) and known[items[i]] else np.float32(0.0)


class SequenceSource(Indexing):
    """What people went on to after such a history as this visitor's: SASRec with relative places (Kang 2018, Zhai 2024).

    The user tower reads the last fifty events when the list is asked for, so each click moves it; it was trained on every
    position of every history, against all items, or samples of them where there are many. An item is its own vector and that
    of its attributes, so what arrived today is found by these. Needs the extra `deep`. The score is the probability that the
    item comes next, among those found.

    Args:
        quota: candidates at most.
        dimensions: of the vectors; 0 to go by the size of the data.
        blocks: of attention.
        least: events from which it is worth it.
        epochs: passes over the data; 0 to go by its size.
        buckets: rows of the table of what attributes say.
        bidirectional: 1 for events that look ahead too, some hidden to be guessed (BERT4Rec, Sun 2019); 0 for what comes next.
    """

    name = "sequence"
    family = "collaborative"
    reason: ClassVar[str] = "similar_taste"
    template: ClassVar[str] = "People with your taste, after {title}"
    time_based = False
    indexed = True
    deep = True
    tells: tuple[str, ...] = ("next",)
    _vectors: SlotVectors | None = None
    search: VectorSearch | None = None

    def __init__(
        self,
        quota: int = 200,
        dimensions: int = 0,
        blocks: int = 2,
        least: int = 60_000,
        epochs: int = 0,
        buckets: int = BUCKETS,
        bidirectional: int = 0,
    ) -> None:
        self.quota, self.dimensions, self.blocks = quota, dimensions, blocks
        self.least, self.epochs, self.buckets, self.bidirectional = least, epochs, buckets, bool(bidirectional)
        self.state: tuple[Stateful, ...] = ()
        self._history = HistoryFold()
        self.folds: tuple[Fold, ...] = (self._history,)

    def fit(self, data: FitData) -> Arrays:
        """Return what `sequence_learning.learned` does; `{}` for too little data, or where the extra is not installed."""
        past = keys, stream, asked = stream_of(data)
        n = len(stream.items)
        if (n < self.least and not data.earlier) or len(asked) < 2 or data.earlier == {}:
            if data.earlier is None:
                data.say(f"  sequence left out: {n:,} events are fewer than {self.least:,}")
            return {}
        if package := missing():
            data.say(f"  sequence left out: {package} is not installed: {REMEDY}")
            return {}
        # Who goes on keeps his dimensions, though fewer days have fewer events.
        usual = shape_of(data.earlier).dimensions if data.earlier else (64 if n < 5_000_000 else 128)
        shape = Shape(self.dimensions or usual, self.blocks, lags=self._history.n, both=self.bidirectional)
        recipe = recipe_for(n, len(keys), data.seed, goes_on(data.earlier, shape, self.buckets), shape.both)
        if self.epochs:
            recipe = replace(recipe, epochs=self.epochs)
        against = f"{recipe.samples} samples" if recipe.samples else "all"
        size = f"{n:,} events of {len(keys):,} items, {shape.dimensions} dimensions, {recipe.epochs} epochs"
        data.say(f"  sequence: {size}, each against {against}")
        return learned(data, past, shape, recipe, self.buckets)

    def bind(self, world: World, arrays: Arrays) -> None:
        """Take the tower and the vectors, for this process's items; or have an index asked for these."""
        self._world, self._vectors, self.search = world, None, None
        if not arrays:
            return
        if package := missing(SERVING):
            logger.error("source %s finds nothing: %s is not installed: %s", self.name, package, REMEDY)
            return
        self._arrays, self._timed = arrays, bool(arrays["timed"][0])
        self._shape = shape_of(arrays)
        self._tower = OnnxSession(arrays["tower"], f"source {self.name}: user tower", outputs=OUTPUTS)
        self._inputs = tuple(name for name in INPUTS if name in self._tower.inputs)
        self._decay = np.float32(0.85) ** np.arange(self._shape.lags, dtype=np.float32)
        self.search = VectorSearch(world, self.name, arrays)
        self._make()

    def renew(self, now: int) -> None:
        """Give new items vectors, once the catalogue has changed."""
        if self.search is not None:
            self.search.renew()
            super().renew(now)

    def index(self) -> None:
        """Put the vectors of the catalogue's items in place."""
        found = slot_vectors(self._world, self._arrays)
        if self.search is not None and len(found.new):
            self.search.put(self._world.columns.key[found.new], found.vectors[found.new])
        self._vectors = found

    def fetch(self, query: Query, user: UserState, limit: int) -> Retrieved:
        """Return the items most probable next."""
        found = user.memo[_memo(query)] = self._search(query, user, limit)
        return found[1]

    def tell(self, query: Query, user: UserState, items: I32, out: F32) -> None:
        """Fill `[1, n] float32`: the log of the probability that an item comes next, above its floor of e⁻¹⁶."""
        out[:] = 0.0
        vectors = self._vectors
        if vectors is None:
            return
        taste, _, total = user.memo.get(_memo(query)) or self._search(query, user, self.quota)
        if len(taste):
            products(vectors.vectors, taste, items, out[0])
            _above(vectors.known, items, total - FLOOR, out[0])

    def _search(self, query: Query, user: UserState, limit: int) -> tuple[F32, Retrieved, float]:
        """Return the visitor's vector, the items nearest to it, and the log of the sum of what their scores come to."""
        vectors = self._vectors
        if vectors is None or self.search is None:
            return _NOBODY, NOTHING, 0.0
        window = event_window(query, user, self._world, vectors.known, self._shape.reads, self._timed)
        if not len(window.slots) or limit < 1:
            return _NOBODY, NOTHING, 0.0
        taste = self._taste(window, vectors)
        slots, scores = self.search.nearest(taste, max(limit, self.quota))
        if not len(slots):
            return _NOBODY, NOTHING, 0.0
        chances = np.empty(min(limit, len(slots)), np.float32)
        # As many scores for every question, or what is told would depend on how deep was asked.
        reason, total = _explained(vectors.vectors, taste, window.slots, self._decay, scores[: self.quota], scores, chances)
        return taste, Retrieved(slots[:limit], chances, np.full(len(chances), reason, np.int32)), total

    def _taste(self, window: EventWindow, vectors: SlotVectors) -> F32:
        """Return the vector of whoever has such a history; kept for the next list, which comes before the next event mostly."""
        name = b"".join(column.tobytes() for column in window)
        made = vectors.made
        if (kept := made.get(name)) is not None:
            return kept
        given = {"items": vectors.vectors[window.slots], "roles": window.roles, "gaps": window.gaps}
        (own,) = self._tower.run(**{name: given[name] for name in self._inputs})
        taste: F32 = np.ascontiguousarray(own.reshape(-1), np.float32)
        if len(made) >= KEPT:
            made.clear()
        made[name] = taste
        return taste


def _memo(query: Query) -> str:
    return f"sequence {query.surface} {query.item_id} {query.cart}"


_NOBODY = np.empty(0, np.float32)
