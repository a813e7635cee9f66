"""Searches: items that have the words of what the visitor searched for last."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nearline.features.searches import LIVE_HOURS, SearchesFold
from nearline.features.totals import ItemTotalsFold
from nearline.schema.candidates import F32, I32, NOTHING, Retrieved
from nearline.schema.clock import HOUR
from nearline.schema.components import Fold, Stateful, UserState
from nearline.schema.kernel import f4, i4, i8, kernel, u4
from nearline.schema.query import Query
from nearline.schema.words import WHOLE, words_of
from nearline.sources.indexing import Indexing
from nearline.sources.profile import posted
from nearline.sources.tally import first, room_for, scratch, take, tally

DEPTH = 2_000
"""Items kept per stem: the most touched ones, so that a common word costs little more than a rare one."""
LONGEST = 64
"""Words of an item at most: those of its category, brand and tags, then of its title and how its texts begin."""
PART = np.float32(0.5)
"""What a word of the same stem counts, against the word itself."""
NOBODY = np.array([-1], np.int32)


@kernel(u4[:, ::1], f4[::1], u4[::1], i8[::1], i4[::1], u4[::1], f4[::1], i4[::1], i4[::1], i4[::1], f4[::1], i4[::1])
def _ask(
    words: NDArray[np.uint32],
    weights: F32,
    stems: NDArray[np.uint32],
    starts: NDArray[np.int64],
    postings: I32,
    whole: NDArray[np.uint32],
    idf: F32,
    memory: I32,
    reasons: I32,
    items: I32,
    scores: F32,
    because: I32,
) -> int:
    """Write the items that have most of each search's words, rare ones counting more, best first; return how many."""
    n = 0
    parts = np.empty(DEPTH, np.float32)
    for s in range(len(weights)):
        if weights[s] <= 0.0:
            continue
        total = np.float32(0.0)
        asked = np.full(words.shape[1], -1, np.int64)
        for w in range(words.shape[1]):
            stem = words[s, w] >> WHOLE
            place = np.searchsorted(stems, stem)
            if words[s, w] != 0 and place < len(stems) and stems[place] == stem:
                asked[w] = place
                total += idf[place]
        for w in range(words.shape[1]):
            if asked[w] < 0:
                continue
            start, end = starts[asked[w]], starts[asked[w] + 1]
            part = weights[s] * idf[asked[w]] / total
            for p in range(start, end):
                parts[p - start] = part if whole[p] == words[s, w] else part * PART
            n = tally(memory, n, postings[start:end], parts, end - start, 0)
    return take(memory, n, reasons, items, scores, because)


class SearchesSource(Indexing):
    """Items whose title, texts, category, brand or tags have words of the visitor's last three searches.

    A score is the share of a search's words that the item has, by idf, times how much that search still says, added up;
    the older the last search, the fewer items.
    What the visitor searched for is kept as keys of words alone. An application without searches does not have it by default.

    Args:
        quota: candidates at most.
        half_life: hours after which a search says half as much; after 24 hours it says nothing.
        decay: weight of each further search.
    """

    name = "searches"
    family = "intent"
    needs_role: ClassVar[str] = "search"
    reason: ClassVar[str] = "matches_search"
    template: ClassVar[str] = "Matches what you searched for"
    surfaces = ("homepage", "search", "email", "push")
    time_based = True

    def __init__(self, quota: int = 60, half_life: float = 2.0, decay: float = 0.5) -> None:
        self.quota, self.half_life, self.decay = quota, half_life, decay
        self.state: tuple[Stateful, ...] = ()
        self.folds: tuple[Fold, ...] = (SearchesFold(), ItemTotalsFold())
        self._read: dict[str, tuple[int, ...]] = {}

    def index(self) -> None:
        """Note by stem which items have which words."""
        texts, labels = self._world.item_texts(), self._world.item_labels()
        # What was read before need not be taken apart again; what is gone is let go.
        read = {text: self._read.get(text) or words_of(text, LONGEST) for text in {*texts, *labels}}
        held = [tuple(dict.fromkeys((*read[a], *read[b])))[:LONGEST] for a, b in zip(labels, texts, strict=True)]
        lengths = np.fromiter((len(own) for own in held), np.int64, len(held))
        words = np.fromiter((word for own in held for word in own), np.uint32, int(lengths.sum()))
        items = np.repeat(np.arange(len(held), dtype=np.int32), lengths)
        stems, tokens = np.unique(words >> np.uint32(WHOLE), return_inverse=True)
        touches = self._world.rows["item_totals"]["counts"][: len(held) + 1].sum(axis=1)
        kept, starts = posted(tokens, np.lexsort((items, -touches[items], tokens)), DEPTH)
        counts = np.bincount(tokens, minlength=len(stems))
        idf = (np.log(np.maximum(1.0, np.count_nonzero(lengths) / np.maximum(1, counts))) + 0.1).astype(np.float32)
        self._made, self._read = (stems, starts, items[kept], words[kept], idf), read

    def wanted(self, query: Query, user: UserState) -> bool:
        """Return whether the visitor has searched of late."""
        return int(user.rows["searches"]["seconds"][0, 0]) * 1000 >= query.now - LIVE_HOURS * HOUR

    def fetch(self, query: Query, user: UserState, limit: int) -> Retrieved:
        """Return the items that match the last searches best; of equal ones the most touched."""
        row, stems = user.rows["searches"], self._made[0]
        hours = np.maximum(0.0, (query.now / 1000 - row["seconds"][0]) / 3600)
        if hours[0] > LIVE_HOURS or len(stems) == 0:
            return NOTHING
        fading = self.decay ** np.arange(len(hours)) * 0.5 ** (hours / self.half_life) * (hours <= LIVE_HOURS)
        n = self._world.n_items
        # Who orders by rank alone must not take an old search for a new one: it brings fewer items.
        found = room_for(math.ceil(limit * fading[0]), n)
        count = _ask(
            np.ascontiguousarray(row["words"][0]),
            fading.astype(np.float32),
            *self._made,
            scratch(n),
            NOBODY,
            found.items,
            found.scores,
            found.because,
        )
        return first(found, count)
