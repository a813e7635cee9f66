"""Text: items whose title and texts share words, and parts of words, with those of the last items (tf-idf, cosine)."""

from __future__ import annotations

import re
import zlib
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nearline.features.history import HistoryFold
from nearline.schema.candidates import F32, I32, NOTHING, Retrieved
from nearline.schema.components import Fold, Stateful, UserState
from nearline.schema.kernel import f4, i4, i8, kernel
from nearline.schema.query import Query
from nearline.sources.asked import asked_items
from nearline.sources.indexing import Indexing
from nearline.sources.profile import gather, posted
from nearline.sources.tally import first, room_for, scratch, take, tally

DEPTH = 200
"""Items kept per token: those that it says most of, so that a common word costs no more than a rare one."""
MOST = 128
"""Tokens asked with at most."""
LONGEST = 64
"""Tokens of an item at most, the first ones: a title, and how a description begins."""
GRAM = 4
"""Letters of the parts of words; parts count half, so that "headphone" finds "headphones" and after these "headset"."""


def tokens_of(text: str) -> dict[int, float]:
    """Return what a text says: hash of each word or part of a word, to its weight; at most 64, the first ones."""
    found: dict[int, float] = {}
    for word in re.findall(r"\w+", text.casefold()):
        parts = [word[at : at + GRAM] for at in range(len(word) - GRAM + 1)] if len(word) > GRAM else []
        for token, weight in ((word, 1.0), *((f"#{part}", 0.5) for part in parts)):
            if len(found) < LONGEST:
                found.setdefault(zlib.crc32(token.encode()), weight)
    return found


@kernel(i4[::1], f4[::1], i8[::1], i4[::1], f4[::1], i8[::1], i4[::1], f4[::1], i4[::1], i4[::1], f4[::1], i4[::1])
def _ask(
    recent: I32,
    decay: F32,
    offsets: NDArray[np.int64],
    tokens: I32,
    weights: F32,
    starts: NDArray[np.int64],
    postings: I32,
    says: F32,
    memory: I32,
    items: I32,
    scores: F32,
    because: I32,
) -> int:
    """Add the recent items' vectors up, then write the items nearest to their sum, best first; return how many."""
    profile, asked, newest = np.empty(MOST, np.float32), np.empty(MOST, np.int32), np.empty(MOST, np.int32)
    n_tokens = gather(recent, decay, offsets, tokens, weights, asked, newest, profile)
    n = 0
    parts = np.empty(DEPTH, np.float32)
    for t in range(n_tokens):
        start, end = starts[asked[t]], starts[asked[t] + 1]
        for p in range(start, end):
            parts[p - start] = profile[t] * says[p]
        n = tally(memory, n, postings[start:end], parts, end - start, newest[t])
    return take(memory, n, recent, items, scores, because)


class TextSource(Indexing):
    """Items with titles and texts like those of the last items: hashed words and parts of words, tf-idf, cosine.

    No model and no download. Off by default: where categories and tags are kept well, content finds the same items for less.

    Args:
        quota: candidates at most.
        ask: how many of the last items to ask with.
        decay: weight of each further one.
    """

    name = "text"
    default = False
    reason: ClassVar[str] = "shares_attributes"
    template: ClassVar[str] = "Similar to {title}"
    time_based = False

    def __init__(self, quota: int = 60, ask: int = 5, decay: float = 0.8) -> None:
        self.quota, self.ask = quota, ask
        self.state: tuple[Stateful, ...] = ()
        self.folds: tuple[Fold, ...] = (HistoryFold(),)
        self._decay = (decay ** np.arange(ask)).astype(np.float32)
        self._read: dict[str, dict[int, float]] = {}

    def index(self) -> None:
        """Take the texts apart, weigh each token within its item, and turn that round."""
        texts = self._world.item_texts()
        # What was read before need not be taken apart again; what is gone is let go.
        read = {text: self._read.get(text) or tokens_of(text) for text in set(texts)}
        held = [read[text] for text in texts]
        lengths = np.fromiter((len(own) for own in held), np.int64, len(held))
        size = int(lengths.sum())
        names = np.fromiter((name for own in held for name in own), np.uint32, size)
        weights = np.fromiter((weight for own in held for weight in own.values()), np.float32, size)
        offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
        values, tokens = np.unique(names, return_inverse=True)
        items = np.repeat(np.arange(len(held), dtype=np.int32), lengths)
        counts = np.bincount(tokens, minlength=len(values))
        weights *= np.log(max(1, np.count_nonzero(lengths)) / np.maximum(1, counts))[tokens] + 0.1
        norms = np.sqrt(np.bincount(items, weights.astype(np.float64) ** 2, len(held)))
        weights /= np.maximum(norms, 1e-9)[items].astype(np.float32)
        kept, starts = posted(tokens, np.lexsort((items, -weights, tokens)), DEPTH)
        self._made, self._read = (offsets, tokens.astype(np.int32), weights, starts, items[kept], weights[kept]), read

    def fetch(self, query: Query, user: UserState, limit: int) -> Retrieved:
        """Return the items whose texts are nearest to those of the last items, or of the page's item."""
        recent = asked_items(query, user, self._world, self.ask)
        if len(recent) == 0 or len(self._made[4]) == 0:
            return NOTHING
        n = max(self._world.n_items, len(self._made[0]))
        found = room_for(limit, n)
        count = _ask(recent, self._decay, *self._made, scratch(n), found.items, found.scores, found.because)
        return first(found, count)
