"""The last rungs of the ladder: the list made last for the visitor, what trends in his category, what trends."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from nearline.schema.candidates import NOTHING, Candidates, Ranked, Retrieved
from nearline.schema.components import Filter, UserState, World
from nearline.schema.query import Query
from nearline.sources.trending import TrendingSource


class Fallback:
    """Lists that cost nothing to make; the filters marked `essential` still apply.

    Args:
        keep: visitors whose last list is remembered.
    """

    def __init__(self, world: World, filters: Sequence[Filter], keep: int = 20_000) -> None:
        self._world, self._keep = world, keep
        self._filters = [rule for rule in filters if getattr(rule, "essential", False)]
        self._last: OrderedDict[int, Retrieved] = OrderedDict()
        self._trending = TrendingSource()
        self._trending.bind(world, {})

    def remember(self, visitor: int, ranked: Ranked, size: int) -> None:
        """Keep the head of a list for its visitor."""
        c = ranked.candidates
        self._last[visitor] = Retrieved(c.items[: 3 * size], ranked.scores[: 3 * size], c.because[: 3 * size])
        self._last.move_to_end(visitor)
        if len(self._last) > self._keep:
            self._last.popitem(last=False)

    def forget(self, visitor: int) -> None:
        """Drop a visitor's list."""
        self._last.pop(visitor, None)

    def ranked(self, query: Query, user: UserState) -> tuple[Ranked, str]:
        """Return a list and where it was served from; empty only where no item is available."""
        last = self._last.get(query.visitor, NOTHING)
        found = self._fine(query, user, last)
        if len(found.scores) >= min(query.page_size, 1) and len(last.items):
            return found, "last_list"
        trending = self._trending.fetch(query, user, max(200, 5 * query.page_size))
        found = self._fine(query, user, trending)
        category = user.rows["session"]["category"][0] if "session" in user.rows else 0
        if category and len(found.scores):
            mine = self._world.columns.category[found.candidates.items] == category
            if mine.any():
                order = np.argsort(~mine, kind="stable").astype(np.int32)
                return found.take(order), "trending_category"
        if len(found.scores):
            return found, "trending"
        available = np.flatnonzero(self._world.columns.available).astype(np.int32)
        everything = Retrieved(available, np.ones(len(available), np.float32), np.full(len(available), -1, np.int32))
        return self._fine(query, user, everything), "available"

    def _fine(self, query: Query, user: UserState, found: Retrieved) -> Ranked:
        n = len(found.items)
        none, zero = np.zeros((0, n), np.float32), np.zeros(n, np.int32)
        candidates = Candidates(found.items, none, none, zero, found.because)
        keep = np.ones(n, np.bool_)
        for rule in self._filters:
            if n:
                keep &= rule.keep(query, user, candidates)
        return Ranked(candidates.take(keep), found.scores[keep])
