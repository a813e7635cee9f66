"""Searching vectors in an index outside: the fold-in of `als` is done here, and what is nearest is asked for."""

from __future__ import annotations

import logging
import threading

import numpy as np

from nearline.schema.candidates import F32, I32, NOTHING, Retrieved
from nearline.schema.components import Arrays, World
from nearline.schema.errors import StoreUnavailableError
from nearline.schema.vectors import VectorIndex
from nearline.stores.vector_index import fill

logger = logging.getLogger("nearline.vectors")


class OutsideSearch:
    """A release's vectors in an index. Whoever finds it without them puts them in.

    While it does not answer, a search raises at once: a thread beside the requests asks until it does.

    Args:
        world: whose items they are.
        index: of these vectors.
        arrays: `keys [n] uint64`, `vectors [n, d] float32`, `solve [d, d] float32`.
    """

    def __init__(self, world: World, index: VectorIndex, arrays: Arrays) -> None:
        self._world, self._index = world, index
        self._keys, self._vectors, self._solve = arrays["keys"], arrays["vectors"], arrays["solve"]
        self._sorted = np.argsort(self._keys)
        self._ready = False
        self._preparing = threading.Lock()
        self._prepare()

    def renew(self) -> None:
        """Ask an index that did not answer again, on a thread of its own."""
        if not self._ready and not self._preparing.locked():
            threading.Thread(target=self._prepare, name="nearline-vectors", daemon=True).start()

    def _prepare(self) -> None:
        with self._preparing:
            try:
                if fill(self._index, self._keys, self._vectors):
                    logger.info("vectors put into the index", extra={"vectors": len(self._keys)})
                self._ready = True
            except StoreUnavailableError as error:
                logger.warning("the index of vectors does not answer; lists are made without it", extra={"error": str(error)})

    def fetch(self, recent: I32, decay: F32, limit: int) -> Retrieved:
        """Return the items nearest to what recent items come to.

        Args:
            recent: slots, the newest first, `[k] int32`.
            decay: weight of each, `[k] float32` at least.
            limit: items at most.

        Raises:
            StoreUnavailableError: the index does not answer, or is not whole yet.
        """
        if not self._ready:
            raise StoreUnavailableError("the index of vectors does not answer, or is being filled")
        by_slot = self._world.columns.key
        own = by_slot.take(recent, mode="clip")
        rows = self._sorted[np.searchsorted(self._keys, own, sorter=self._sorted).clip(max=len(self._keys) - 1)]
        # An item that comes this moment may have a slot before its line.
        there = (self._keys[rows] == own) & (recent < len(by_slot))
        if limit < 1 or not there.any():
            return NOTHING
        weighed = decay[: len(recent)][there, None] * self._vectors[rows[there]]
        taste = (self._solve @ weighed.sum(axis=0)).astype(np.float32)
        try:
            keys, scores = self._index.nearest(taste, limit)
        except StoreUnavailableError:
            self._ready = False
            raise
        slots = self._world.item_slots(keys)
        # What this process has no item for is no candidate.
        here = slots >= 0
        reason = recent[there][np.argmax(weighed @ taste)]
        found = slots[here]
        return Retrieved(found, scores[here], np.full(len(found), reason, np.int32))
