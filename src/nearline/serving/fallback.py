"""The last rungs of the ladder: the list made last for the visitor, the one published, what trends in his category, at all."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Collection, Sequence

import numpy as np

from nearline.schema.candidates import NOTHING, Candidates, Ranked, Retrieved
from nearline.schema.components import Filter, UserState, World
from nearline.schema.query import Query
from nearline.sources.trending import TrendingSource

logger = logging.getLogger("nearline.fallback")


class Fallback:
    """Lists that cost nothing to make; the filters marked `essential` still apply.

    Args:
        keep: visitors whose last list is remembered.
    """

    def __init__(self, world: World, filters: Sequence[Filter], keep: int = 20_000) -> None:
        self._world, self._keep = world, keep
        self._filters = [rule for rule in filters if getattr(rule, "essential", False)]
        self._last: OrderedDict[int, Retrieved] = OrderedDict()
        self._erased: OrderedDict[int, int] = OrderedDict()
        self._trending = TrendingSource()
        self._trending.bind(world, {})

    def remember(self, visitor: int, ranked: Ranked, size: int, offset: int) -> None:
        """Keep the head of a list, made at a state offset, for its visitor.

        What was drawn for this list is no part of the visitor's own: a repetition would not be the same chance.
        """
        if offset < self._erased.get(visitor, 0):
            return
        own = np.arange(len(ranked.scores)) if ranked.explored is None else np.flatnonzero(~ranked.explored)
        head = own[: 3 * size]
        c = ranked.candidates.take(head)
        self._last[visitor] = Retrieved(c.items, ranked.scores[head], c.because)
        self._last.move_to_end(visitor)
        if len(self._last) > self._keep:
            self._last.popitem(last=False)

    def forget(self, visitor: int, offset: int) -> None:
        """Drop a visitor's list, and those still being made at a state below `offset`."""
        self._last.pop(visitor, None)
        self._erased[visitor] = offset
        if len(self._erased) > self._keep:
            self._erased.popitem(last=False)

    def knows(self, visitor: int) -> bool:
        """Return whether a list of the visitor's is remembered."""
        return visitor in self._last

    def ranked(
        self, query: Query, user: UserState, missing: Collection[str] = (), published: Retrieved | None = None
    ) -> tuple[Ranked, str]:
        """Return a list and where it was served from; empty only where no item is available.

        Args:
            missing: steps that failed for this request; such a filter is not asked again.
            published: for this visitor and surface, where something is.
        """
        filters = [rule for rule in self._filters if f"filter:{rule.name}" not in missing]
        last = self._last.get(query.visitor, NOTHING)
        found = self._fine(query, user, last, filters)
        # A request that filters wants a full page of what matches; a rung may hold but a few.
        enough = query.page_size if query.filters else 1
        if len(found.scores) >= enough:
            return found, "last_list"
        # Who has no state is a stranger, or was erased: what was published before is not his any more.
        if published is not None and len(published.items) and user.offset >= 0:
            found = self._fine(query, user, published, filters)
            if len(found.scores) >= enough:
                return found, "published"
        try:
            trending = self._trending.fetch(query, user, max(200, 5 * query.page_size))
        except Exception:
            logger.exception("what trends is not known")
            trending = NOTHING
        found = self._fine(query, user, trending, filters)
        category = user.rows["session"]["category"][0]
        if category and len(found.scores):
            mine = self._world.columns.category[found.candidates.items] == category
            if mine.any() and len(found.scores) >= enough:
                order = np.argsort(~mine, kind="stable").astype(np.int32)
                return found.take(order), "trending_category"
        if len(found.scores) >= enough:
            return found, "trending"
        available = np.flatnonzero(self._world.columns.available).astype(np.int32)
        # What trends goes first: equal scores keep their order.
        available = np.concatenate((found.candidates.items, available[~np.isin(available, found.candidates.items)]))
        everything = Retrieved(available, np.ones(len(available), np.float32), np.full(len(available), -1, np.int32))
        return self._fine(query, user, everything, filters), "available"

    def _fine(self, query: Query, user: UserState, found: Retrieved, filters: Sequence[Filter]) -> Ranked:
        n = len(found.items)
        none, zero = np.zeros((n, 0), np.float32), np.zeros(n, np.int32)
        candidates = Candidates(found.items, none, none, zero, found.because)
        # Whatever the filters are and do, what is not in the catalogue is never shown.
        keep = self._world.columns.available[found.items]
        for rule in filters if n else ():
            try:
                keep = keep & rule.keep(query, user, candidates)
            except Exception:
                logger.exception("filter failed", extra={"component": rule.name})
        return Ranked(candidates.take(keep), found.scores[keep])
