"""Matching: the most popular items of what a request filters by, so that a narrow selection is full too."""

from __future__ import annotations

from typing import ClassVar

from nearline.features.popularity import PopularityFold
from nearline.schema.candidates import NOTHING, Retrieved
from nearline.schema.components import Arrays, FitData, Fold, Stateful, UserState, World
from nearline.schema.ids import keys
from nearline.schema.query import Query
from nearline.sources.popular_order import PopularOrder, falling


class MatchingSource:
    """The most popular items that meet the request's conditions; nothing for a request without any.

    Args:
        quota: candidates at most.
    """

    name = "matching"
    reason: ClassVar[str] = "matches"
    template: ClassVar[str] = "Popular in this selection"
    time_based = False
    always = True
    family = "popularity"

    def __init__(self, quota: int = 400) -> None:
        self.quota = quota
        self.state: tuple[Stateful, ...] = ()
        self.folds: tuple[Fold, ...] = (PopularityFold(),)

    def fit(self, data: FitData) -> Arrays:
        """Nothing is learned in batch."""
        return {}

    def bind(self, world: World, arrays: Arrays) -> None:
        """Read this world's attributes and popularity."""
        self._world, self._order = world, PopularOrder(world)

    def renew(self, now: int) -> None:
        """Follow changed items, and order the catalogue anew."""
        self._world.attributes.renew()
        self._order.renew(now)

    def wanted(self, query: Query, user: UserState) -> bool:
        """Return whether the request has conditions."""
        return bool(query.filters)

    def fetch(self, query: Query, user: UserState, limit: int) -> Retrieved:
        """Return the most popular items that meet the conditions, without what the request excludes."""
        if not query.filters:
            return NOTHING
        mask = self._world.attributes.mask(query.filters, query.now)
        if query.exclude:
            # A page deep in a selection excludes all that was shown before: it must not use the quota up.
            gone = self._world.item_slots(keys(query.exclude))
            mask = mask.copy()
            mask[gone[(gone >= 0) & (gone < len(mask))]] = False
        return falling(self._order.first(mask, limit, query.now))
