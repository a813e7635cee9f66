"""Content: items that share attributes (category path, brand, tags) with what the visitor touched last."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nearline.features.history import HistoryFold
from nearline.features.totals import ItemTotalsFold
from nearline.schema.candidates import F32, I32, NOTHING, Retrieved
from nearline.schema.components import Fold, Stateful, UserState
from nearline.schema.kernel import f4, i4, i8, kernel
from nearline.schema.query import Query
from nearline.sources.asked import asked_items
from nearline.sources.indexing import Indexing
from nearline.sources.profile import gather, posted
from nearline.sources.tally import first, room_for, scratch, take, tally

DEPTH, KNOWN = 200, 150
"""Items kept per attribute value, so that a common value costs no more than a rare one; so many of them the most touched ones.

The others are the newest of the least touched ones: nothing else would ever find what nobody knows yet.
"""
MOST = 256
"""Attribute values asked with at most."""


@kernel(i4[::1], f4[::1], i8[::1], i4[::1], f4[::1], i8[::1], i4[::1], i4[::1], i4[::1], f4[::1], i4[::1])
def _ask(
    recent: I32,
    decay: F32,
    offsets: NDArray[np.int64],
    tokens: I32,
    weights: F32,
    starts: NDArray[np.int64],
    postings: I32,
    memory: I32,
    items: I32,
    scores: F32,
    because: I32,
) -> int:
    """Weigh the attributes of recent items, then write the items that share most, best first; return how many."""
    profile, asked, newest = np.empty(MOST, np.float32), np.empty(MOST, np.int32), np.empty(MOST, np.int32)
    n_tokens = gather(recent, decay, offsets, tokens, weights, asked, newest, profile)
    n = 0
    parts = np.empty(DEPTH, np.float32)
    for t in range(n_tokens):
        sharing = postings[starts[asked[t]] : starts[asked[t] + 1]]
        parts[:] = profile[t]
        # The reason is the newest item with the attribute that counted most.
        n = tally(memory, n, sharing, parts, len(sharing), newest[t])
    return take(memory, n, recent, items, scores, because)


class ContentSource(Indexing):
    """Items with the attributes of the visitor's last items, rare attributes counting more (idf).

    Args:
        quota: candidates at most.
        ask: how many of the last items to ask with.
        decay: weight of each further one.
    """

    name = "content"
    family = "content"
    reason: ClassVar[str] = "shares_attributes"
    template: ClassVar[str] = "Shares attributes with {title}"
    time_based = False

    def __init__(self, quota: int = 100, ask: int = 5, decay: float = 0.8) -> None:
        self.quota, self.ask = quota, ask
        self.state: tuple[Stateful, ...] = ()
        self.folds: tuple[Fold, ...] = (HistoryFold(), ItemTotalsFold())
        self._decay = (decay ** np.arange(ask)).astype(np.float32)

    def index(self) -> None:
        """Turn the tokens of the catalogue's items round: which items have each."""
        names, offsets = self._world.item_tokens()
        values, tokens = np.unique(names, return_inverse=True)
        items = np.repeat(np.arange(len(offsets) - 1, dtype=np.int32), np.diff(offsets))
        touches = self._world.rows["item_totals"]["counts"][: len(offsets)].sum(axis=1)
        order = np.lexsort((items, -touches[items], tokens))
        _, starts = posted(tokens, order, len(tokens))
        place = np.empty(len(tokens), np.int64)
        place[order] = np.arange(len(tokens)) - starts[tokens[order]]
        unknown = place >= KNOWN
        order = np.lexsort((np.where(unknown, -items, place), np.where(unknown, touches[items], 0), unknown, tokens))
        kept, starts = posted(tokens, order, DEPTH)
        n = max(1, np.count_nonzero(np.diff(offsets)))
        idf = (np.log(n / np.maximum(1, np.bincount(tokens, minlength=len(values)))) + 0.1).astype(np.float32)
        self._made = offsets, tokens.astype(np.int32), idf[tokens], starts, items[kept]

    def fetch(self, query: Query, user: UserState, limit: int) -> Retrieved:
        """Return the items that share most with the last items, and with the page's item."""
        return self.like(asked_items(query, user, self._world, self.ask), limit)

    def like(self, recent: I32, limit: int) -> Retrieved:
        """Return the items that share most with given items (slots, newest first)."""
        if len(recent) == 0 or len(self._made[4]) == 0:
            return NOTHING
        n = max(self._world.n_items, len(self._made[0]))
        found = room_for(limit, n)
        count = _ask(recent, self._decay, *self._made, scratch(n), found.items, found.scores, found.because)
        return first(found, count)
