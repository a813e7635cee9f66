"""Content: items that share attributes (category path, brand, tags) with what the visitor touched last."""

from __future__ import annotations

import threading
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nearline.features.history import HistoryFold, recent_slots
from nearline.features.totals import ItemTotalsFold
from nearline.schema.candidates import F32, I32, NOTHING, Retrieved
from nearline.schema.components import Arrays, FitData, Fold, Stateful, UserState, World
from nearline.schema.kernel import f4, i4, i8, kernel
from nearline.schema.query import Query
from nearline.sources.covisit import page_item
from nearline.sources.top import best

DEPTH = 200
"""Items kept per attribute value: the most touched ones, so that a common value costs no more than a rare one."""


@kernel(
    i4[::1], f4[::1], i8[::1], i4[::1], i8[::1], i4[::1], f4[::1], f4[::1], i4[::1], i4[::1], f4[::1], f4[::1], i4[::1]
)  # fmt: skip
def _ask(
    recent: I32,
    decay: F32,
    offsets: NDArray[np.int64],
    tokens: I32,
    starts: NDArray[np.int64],
    postings: I32,
    idf: F32,
    weight: F32,
    strongest: I32,
    touched: I32,
    total: F32,
    lead: F32,
    because: I32,
) -> int:
    """Weigh the attributes of recent items, then the items that have them; return how many items were touched."""
    n_tokens = 0
    order = np.empty(256, np.int32)
    for j in range(len(recent)):
        if recent[j] + 1 >= len(offsets):
            continue
        for p in range(offsets[recent[j]], offsets[recent[j] + 1]):
            token = tokens[p]
            if weight[token] == 0.0:
                if n_tokens == len(order):
                    continue
                order[n_tokens] = token
                strongest[token] = recent[j]
                n_tokens += 1
            weight[token] += decay[j] * idf[token]
    n = 0
    for t in range(n_tokens):
        token = order[t]
        for p in range(starts[token], starts[token + 1]):
            item = postings[p]
            if item >= len(total):
                continue
            if total[item] == 0.0:
                touched[n] = item
                n += 1
                lead[item] = 0.0
            total[item] += weight[token]
            # The reason is the newest item with the attribute that counted most.
            if weight[token] > lead[item]:
                lead[item] = weight[token]
                because[item] = strongest[token]
        weight[token] = 0.0
    return n


class ContentSource:
    """Items with the attributes of the visitor's last items, rare attributes counting more (idf).

    Args:
        quota: candidates at most.
        ask: how many of the last items to ask with.
        decay: weight of each further one.
    """

    name = "content"
    reason: ClassVar[str] = "shares_attributes"
    template: ClassVar[str] = "Shares attributes with {title}"
    time_based = False

    def __init__(self, quota: int = 100, ask: int = 5, decay: float = 0.8) -> None:
        self.quota, self.ask = quota, ask
        self.state: tuple[Stateful, ...] = ()
        self.folds: tuple[Fold, ...] = (HistoryFold(), ItemTotalsFold())
        self._decay = (decay ** np.arange(ask)).astype(np.float32)

    def fit(self, data: FitData) -> Arrays:
        """Nothing is learned in batch."""
        return {}

    def bind(self, world: World, arrays: Arrays) -> None:
        """Index this world's catalogue, again whenever it has changed."""
        self._world = world
        self._version = -1
        self._lock = threading.Lock()
        self._scratch = threading.local()
        # Now, so that the first request after a swap does not wait for it.
        self._index()

    def _index(self) -> None:
        version = self._world.catalog_version
        if version == self._version or not self._lock.acquire(blocking=self._version < 0):
            return
        try:
            names, offsets = self._world.item_tokens()
            values, tokens = np.unique(names, return_inverse=True)
            items = np.repeat(np.arange(len(offsets) - 1, dtype=np.int32), np.diff(offsets))
            touches = self._world.rows["item_totals"]["counts"].sum(axis=1)
            order = np.lexsort((items, -touches[items], tokens))
            counts = np.bincount(tokens, minlength=len(values))
            starts = np.concatenate(([0], np.cumsum(counts)))
            kept = np.arange(len(order)) - starts[tokens[order]] < DEPTH
            n = max(1, np.count_nonzero(np.diff(offsets)))
            postings = items[order][kept]
            starts = np.concatenate(([0], np.cumsum(np.minimum(counts, DEPTH)))).astype(np.int64)
            idf = (np.log(n / np.maximum(1, counts)) + 0.1).astype(np.float32)
            # One assignment: a reader in another thread sees the old index or the new one, whole.
            self._made = offsets, tokens.astype(np.int32), starts, postings, idf
            self._version = version
        finally:
            self._lock.release()

    def fetch(self, query: Query, user: UserState, limit: int) -> Retrieved:
        """Return the items that share most with the last items, and with the page's item."""
        self._index()
        recent, _ = recent_slots(user, self._world, self.ask)
        if (slot := page_item(query, self._world)) >= 0:
            recent = np.concatenate(([slot], recent[recent != slot]))[: self.ask].astype(np.int32)
        return self.like(recent, limit)

    def like(self, recent: I32, limit: int) -> Retrieved:
        """Return the items that share most with given items (slots, newest first)."""
        offsets, tokens, starts, postings, idf = self._made
        if len(recent) == 0 or len(postings) == 0:
            return NOTHING
        scratch, n = self._scratch, self._world.n_items
        if getattr(scratch, "size", -1) < n or len(scratch.weight) < len(idf):
            scratch.size = n + n // 2
            scratch.total, scratch.touched = np.zeros(scratch.size, np.float32), np.zeros(scratch.size, np.int32)
            scratch.lead, scratch.because = np.zeros(scratch.size, np.float32), np.zeros(scratch.size, np.int32)
            scratch.weight = np.zeros(len(idf) + 64, np.float32)
            scratch.strongest = np.zeros(len(idf) + 64, np.int32)
        count = _ask(
            recent,
            self._decay,
            offsets,
            tokens,
            starts,
            postings,
            idf,
            scratch.weight,
            scratch.strongest,
            scratch.touched,
            scratch.total,
            scratch.lead,
            scratch.because,
        )
        touched = scratch.touched[:count]
        scores = scratch.total[touched]
        scratch.total[touched] = 0.0
        places = best(scores, limit)
        items = touched[places]
        return Retrieved(items, scores[places], scratch.because[items])
