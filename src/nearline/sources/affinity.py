"""Affinity: what is popular in the categories and brands that the visitor prefers."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nearline.features.affinity import AFFINITY, AffinityFold
from nearline.features.popularity import PopularityFold, decayed
from nearline.schema.candidates import F32, I32, NOTHING, Retrieved
from nearline.schema.clock import MINUTE
from nearline.schema.components import Arrays, FitData, Fold, Rows, Stateful, UserState, World
from nearline.schema.kernel import f4, i4, i8, kernel, record, u4
from nearline.schema.query import Query
from nearline.sources.tally import first, room_for, scratch, take, tally

DEPTH = 100
"""Items kept per category or brand: the most popular."""
WARM = 20
"""Touched items beyond which other sources know better what the visitor likes."""
U32 = NDArray[np.uint32]


@kernel(record(AFFINITY), u4[::1], i8[::1], i4[::1], i4[::1], i4[::1], f4[::1], i4[::1])
def _ask(
    rows: Rows, keys: U32, starts: NDArray[np.int64], postings: I32, memory: I32, items: I32, scores: F32, because: I32
) -> int:
    """Write the heads of the preferred categories and brands by weight over rank; return how many."""
    row = rows[0]
    n = 0
    nobody = np.full(1, -1, np.int32)
    parts = np.empty(DEPTH, np.float32)
    for scope in range(2):
        total = np.int64(0)
        size = len(row.categories) if scope == 0 else len(row.brands)
        for j in range(size):
            total += row.category_weights[j] if scope == 0 else row.brand_weights[j]
        for j in range(size):
            key = row.categories[j] if scope == 0 else row.brands[j]
            weight = row.category_weights[j] if scope == 0 else row.brand_weights[j]
            if key == 0 or weight <= 0:
                continue
            place = np.searchsorted(keys, key)
            if place == len(keys) or keys[place] != key:
                continue
            sharing = postings[starts[place] : starts[place + 1]]
            for k in range(len(sharing)):
                parts[k] = np.float32(weight) / np.float32(total) / np.float32(k + 2)
            n = tally(memory, n, sharing, parts, len(sharing), 0)
    return take(memory, n, nobody, items, scores, because)


class AffinitySource:
    """The most popular items of the visitor's eight categories and four brands, by his weight over the item's rank there.

    It is what a category, chosen at onboarding or clicked once, is worth before anything else is known.

    Args:
        quota: candidates at most.
        half_life: hours, of popularity.
        refresh: ms for which one index serves all requests, unless the catalogue changes.
    """

    name = "affinity"
    family = "preferences"
    surfaces = ("homepage", "email", "push", "search")
    reason: ClassVar[str] = "preferences"
    template: ClassVar[str] = "From what you like"
    time_based = False

    def __init__(self, quota: int = 50, half_life: float = 24.0, refresh: int = 5 * MINUTE) -> None:
        self.quota, self.half_life, self.refresh = quota, half_life, refresh
        self.state: tuple[Stateful, ...] = ()
        self.folds: tuple[Fold, ...] = (PopularityFold(), AffinityFold())

    def fit(self, data: FitData) -> Arrays:
        """Nothing is learned in batch."""
        return {}

    def bind(self, world: World, arrays: Arrays) -> None:
        """Read this world's items."""
        self._world = world
        self._made: tuple[int, int, U32, NDArray[np.int64], I32] | None = None

    def renew(self, now: int) -> None:
        """Index the catalogue anew, where it changed or the index is old."""
        made = self._made
        if made is None or made[1] != self._world.catalog_version or abs(now - made[0]) >= self.refresh:
            self._made = self._index(now)

    def wanted(self, query: Query, user: UserState) -> bool:
        """Return whether the visitor's items are too few to go by alone."""
        history = user.rows.get("history")
        return history is None or history["count"][0] <= WARM

    def fetch(self, query: Query, user: UserState, limit: int) -> Retrieved:
        """Return the heads of his categories and brands; nothing for who prefers none."""
        row = user.rows["affinity"]
        if not row["category_weights"].any() and not row["brand_weights"].any():
            return NOTHING
        made = self._made
        if made is None or abs(query.now - made[0]) >= 4 * self.refresh:
            # Nobody renews it (a replay).
            made = self._made = self._index(query.now)
        _, _, keys, starts, postings = made
        n = self._world.n_items
        found = room_for(limit, n)
        return first(found, _ask(row, keys, starts, postings, scratch(n), found.items, found.scores, found.because))

    def _index(self, now: int) -> tuple[int, int, U32, NDArray[np.int64], I32]:
        version, columns = self._world.catalog_version, self._world.columns
        available = np.flatnonzero(columns.available).astype(np.int32)
        popular = decayed(self._world.rows["popularity"], available, now, (self.half_life,))[0]
        by_popularity = available[np.argsort(-popular, kind="stable")]
        # A category and a brand of one name share their key, and so a list.
        items = np.concatenate((by_popularity, by_popularity))
        keys = np.concatenate((columns.category[by_popularity], columns.brand[by_popularity]))
        items, keys = items[keys != 0], keys[keys != 0]
        order = np.argsort(keys, kind="stable")
        values, counts = np.unique(keys, return_counts=True)
        starts = np.concatenate(([0], np.cumsum(counts)))
        kept = np.arange(len(order)) - np.repeat(starts[:-1], counts) < DEPTH
        starts = np.concatenate(([0], np.cumsum(np.minimum(counts, DEPTH)))).astype(np.int64)
        return now, version, values, starts, np.ascontiguousarray(items[order][kept])
