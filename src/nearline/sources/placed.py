"""Placed: what pins and quotas of declared rules want on the page, though nobody retrieved it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from nearline.features.popularity import PopularityFold
from nearline.schema.candidates import NOTHING, Retrieved
from nearline.schema.components import Arrays, FitData, Fold, Stateful, UserState, World
from nearline.schema.query import Query
from nearline.schema.rules import AT_MOST, InForce
from nearline.sources.popular_order import PopularOrder, falling

SPARE = 8
"""Items brought for a rule beyond those it needs: filters may take some."""
MOST = 256
"""Different sets of rules whose items are remembered."""


class PlacedSource:
    """The most popular items that the pins and quotas in force are for; nothing where there are none.

    Args:
        quota: candidates at most; with many rules the first of each come first.
    """

    name = "placed"
    reason: ClassVar[str] = "placed"
    template: ClassVar[str] = "Chosen for this page"
    time_based = False
    always = True
    family = "rules"

    def __init__(self, quota: int = 200) -> None:
        self.quota = quota
        self.state: tuple[Stateful, ...] = ()
        self.folds: tuple[Fold, ...] = (PopularityFold(),)

    def fit(self, data: FitData) -> Arrays:
        """Nothing is learned in batch."""
        return {}

    def bind(self, world: World, arrays: Arrays) -> None:
        """Read this world's rules and popularity."""
        self._world, self._order = world, PopularOrder(world)
        self._found: dict[tuple[int, bytes], Retrieved] = {}

    def renew(self, now: int) -> None:
        """Follow the rules, and order the catalogue anew."""
        self._world.rules.renew(now)
        if self._order.renew(now):
            self._found = {}

    def wanted(self, query: Query, user: UserState) -> bool:
        """Return whether a rule in force pins anything or has a quota."""
        force = self._world.rules.in_force(query, user.slot >= 0)
        return force is not None and len(force.places) > 0

    def fetch(self, query: Query, user: UserState, limit: int) -> Retrieved:
        """Return what the rules in force are for, the best of each rule first."""
        force = self._world.rules.in_force(query, user.slot >= 0)
        if force is None or not len(force.places):
            return NOTHING
        remembered = self._found
        found = remembered.get(force.key)
        if found is None:
            found = self._for(force, query.now)
            if len(remembered) >= MOST:
                remembered.clear()
            remembered[force.key] = found
        return Retrieved(found.items[:limit], found.scores[:limit], found.because[:limit])

    def _for(self, force: InForce, now: int) -> Retrieved:
        columns = []
        for place, action, count, _ in force.places.tolist():
            if action != AT_MOST:
                bit = force.bits[:, place >> 6] >> np.uint64(place & 63) & np.uint64(1)
                columns.append(self._order.first(bit.astype(np.bool_), count + SPARE, now))
        # The first of each rule, then the second of each, ...
        ranks = np.concatenate([np.arange(len(items)) for items in columns] or [np.empty(0, np.int64)])
        items = np.concatenate(columns or [np.empty(0, np.int32)])[np.argsort(ranks, kind="stable")]
        _, first = np.unique(items, return_index=True)
        return falling(items[np.sort(first)])
