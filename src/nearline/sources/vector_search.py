"""Searching an embedding: a source asks for the items nearest to a vector, and does not know which index answers.

An index is asked once it is whole and canary queries find in it what all products say. Until then, or where they don't, all
vectors are scanned here; where an index outside does not answer, there is nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable

import numpy as np

from nearline.schema.candidates import I32
from nearline.schema.components import Arrays, Source, World
from nearline.schema.errors import StoreUnavailableError
from nearline.schema.vectors import HeldIndex, Keys, VectorIndex, Vectors, embedding_of
from nearline.stores.nearest.canary import asked
from nearline.stores.nearest.live import LiveIndex
from nearline.stores.nearest.wanted import Wanted
from nearline.stores.vector_index import fill

logger = logging.getLogger("nearline.vectors")
DEEPEST = 8
"""Times the limit that is asked for at most, where much of what is found is no candidate."""

Change = tuple[Keys, Vectors | None]
"""What was put, or dropped."""


class VectorSearch:
    """A release's vectors in an index. Whoever finds it without them puts them in.

    While it does not answer, a search raises at once: a thread beside the requests asks until it does.

    Args:
        world: whose items they are.
        name: of the source.
        arrays: `keys [n] uint64`, `vectors [n, d] float32`, and `index [m] uint8` where the release brought one.
    """

    def __init__(self, world: World, name: str, arrays: Arrays) -> None:
        self._world = world
        self._keys: Keys = arrays["keys"]
        self._vectors: Vectors = arrays["vectors"]
        self._packed = arrays.get("index")
        self.index = world.index_of(embedding_of(name, self._keys, self._vectors))
        self._asked: VectorIndex | None = None
        self._ready, self._deeper = False, 1
        self._preparing, self._changing = threading.Lock(), threading.Lock()
        self._waiting: list[Change] = []
        if isinstance(self.index, HeldIndex) and not self.index.instant(len(self._keys), self._packed):
            self._asked = self._scan()
            self._prepare_beside()
        else:
            self._prepare()

    def renew(self) -> None:
        """Ask an index that did not answer again, on a thread of its own, and let it do what is better done beside searches."""
        if not self._ready:
            self._prepare_beside()
        elif self._asked is not None:
            self._asked.renew()

    def put(self, keys: Keys, vectors: Vectors) -> None:
        """Put in vectors of new items, or others for items (`[n] uint64`, `[n, d] float32`): the next search finds them."""
        self._change((keys, vectors))

    def drop(self, keys: Keys) -> None:
        """Take items (`[n] uint64`) out: no search finds them."""
        self._change((keys, None))

    @property
    def refused(self) -> str:
        """Why the index is not asked and all vectors are scanned; "" where it is asked."""
        verdict = self.index.verdict
        return "" if verdict is None or verdict.passed else str(verdict)

    def nearest(self, query: Vectors, limit: int) -> tuple[I32, Vectors]:
        """Return slots of items that are offered, at most `limit`, by inner product with a query (`[d] float32`), best first.

        Raises:
            StoreUnavailableError: the index does not answer, or is not whole yet.
        """
        index = self._asked
        if index is None:
            raise StoreUnavailableError("the index of vectors does not answer, or is being filled")
        deep = self._deeper * limit
        while True:
            try:
                keys, scores = index.nearest(query, deep)
            except StoreUnavailableError:
                self._ready, self._asked = False, None
                raise
            slots = self._world.item_slots(keys)
            # What this process has no item for, or what was withdrawn, is no candidate.
            available = self._world.columns.available
            offered = (slots >= 0) & (available.take(slots, mode="clip") if len(available) else False)
            if offered.all():
                return slots[:limit], scores[:limit]
            kept = slots[offered]
            if len(kept) >= limit or len(keys) < deep or deep >= DEEPEST * limit:
                return kept[:limit], scores[offered][:limit]
            self._deeper, deep = 2 * self._deeper, 2 * deep

    def _change(self, change: Change) -> None:
        with self._changing:
            if not self._ready:
                # Canary queries know the release's vectors only.
                self._waiting.append(change)
            else:
                _make(self.index, change)
            if self._asked is not None and self._asked is not self.index:
                _make(self._asked, change)

    def _prepare_beside(self) -> None:
        if not self._preparing.locked():
            threading.Thread(target=self._prepare, name="nearline-vectors", daemon=True).start()

    def _prepare(self) -> None:
        with self._preparing:
            try:
                if filled := fill(self.index, self._keys, self._vectors, self._packed):
                    logger.info("vectors put into the index", extra={"vectors": len(self._keys)})
                if self.index.floor and (filled or self.index.verdict is None):
                    self.index.verdict = asked(self.index, self._keys, self._vectors, self._categories())
                self._serve()
            except StoreUnavailableError as error:
                logger.warning("the index of vectors does not answer; lists are made without it", extra={"error": str(error)})

    def _serve(self) -> None:
        """Have the index asked from now on, or the scan in its place."""
        with self._changing:
            chosen: VectorIndex = self.index
            if self.refused:
                logger.error("the index of vectors is not asked, and all vectors are scanned: %s", self.refused)
                chosen = self._scan() if self._asked is None else self._asked
            for change in self._waiting:
                _make(self.index, change)
                if chosen is not self.index and chosen is not self._asked:
                    _make(chosen, change)
            self._waiting.clear()
            self._asked, self._ready = chosen, True

    def _scan(self) -> LiveIndex:
        scan = LiveIndex(embedding_of("", self._keys[:0], self._vectors[:0]), Wanted("scan"))
        scan.hold(self._keys, self._vectors)
        return scan

    def _categories(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        slots, columns = self._world.item_slots(self._keys), self._world.columns
        own = columns.top if len(columns.top) else columns.category
        return np.where(slots >= 0, own.take(slots, mode="clip") if len(own) else 0, 0).astype(np.int64)


def _make(index: VectorIndex, change: Change) -> None:
    keys, vectors = change
    if vectors is None:
        index.drop(keys)
    else:
        index.put(keys, vectors)


def vector_gauges(sources: Iterable[Source]) -> dict[str, float]:
    """Return what `/metrics` says of the indexes that sources ask."""
    searches = [search for source in sources if isinstance(search := getattr(source, "search", None), VectorSearch)]
    verdicts = [search.index.verdict for search in searches]
    return {
        "nearline_vectors_recall": min((verdict.recall for verdict in verdicts if verdict is not None), default=1.0),
        "nearline_vectors_refused": float(sum(bool(search.refused) for search in searches)),
        "nearline_vectors_shards_missing": float(sum(len(search.index.missing) for search in searches)),
    }
