"""Exploration: a stated share of places goes to items that were not due, with the exact probability of each."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32, Arranged, Ranked
from nearline.schema.clock import DAY
from nearline.schema.components import UserState, World
from nearline.schema.ids import key
from nearline.schema.kernel import b1, f4, f8, i4, i8, inline, kernel, u4, u8
from nearline.schema.query import Query

PAGE = 20
"""Places that `least` is meant for; a shorter list needs fewer categories in proportion."""


@inline
def _mixed(x: Any) -> Any:
    """Return 64 evenly spread bits (the finaliser of SplitMix64, Steele et al. 2014)."""
    x = np.uint64(x) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@kernel(i4[::1], b1[::1], u4[::1], i8[::1], i8, i8, i8, i4[::1])
def _pool(
    items: I32,
    held: NDArray[np.bool_],
    category: NDArray[np.uint32],
    created: NDArray[np.int64],
    n: int,
    since: int,
    most: int,
    out: I32,
) -> int:
    """Write the places of what may be drawn; return how many.

    In three turns, each in order of rank: categories that are neither in the list nor in the pool, then new items, then any.
    Whatever is drawn, no category has more than `most` items in the list.
    """
    found = 0
    own = np.empty(n + len(out), np.uint32)
    for i in range(n):
        own[i] = category[items[i]]
    taken = np.zeros(len(items), np.uint8)
    for turn in range(3):
        for i in range(n, len(items)):
            if found == len(out):
                return found
            kind = category[items[i]]
            if taken[i] or held[i] or (turn == 0 and kind == 0) or (turn == 1 and created[items[i]] < since):
                continue
            have = 0
            if kind != 0:
                for j in range(n + found):
                    have += own[j] == kind
            if have == 0 or (turn > 0 and (most <= 0 or have < most)):
                taken[i] = 1
                own[n + found] = kind
                out[found] = i
                found += 1
    return found


@kernel(i4[::1], u8[::1], i4[::1], b1[::1], f8, f8, u8, i4[::1], f4[::1], b1[::1])
def _draw(
    items: I32,
    keys: NDArray[np.uint64],
    pool: I32,
    free: NDArray[np.bool_],
    share: float,
    highest: float,
    seed: int,
    out: I32,
    propensities: F32,
    explored: NDArray[np.bool_],
) -> None:
    """Draw for each free place; write the new order, probabilities and what was drawn."""
    n, m, left = len(free), len(pool), 0
    for k in range(n - 1, -1, -1):
        # No more free places than there is to draw: those lowest in the list.
        free[k] = free[k] and left < m
        left += free[k]
    rate = min(highest, share * n / max(1, left))
    # A pool in an order that chance gives; an item's place in it hangs on nothing but its own key and the seed.
    tickets = np.empty(m, np.uint64)
    for j in range(m):
        tickets[j] = _mixed(keys[items[pool[j]]] ^ seed)
    taken = np.zeros(len(items), np.uint8)
    for k in range(n):
        out[k] = k
        propensities[k] = 1.0 - rate if free[k] else 1.0
        coin = _mixed(_mixed(seed) + np.uint64(k))
        if free[k] and np.float64(coin >> np.uint64(11)) * 2.0**-53 < rate:
            first: int = -1
            for j in range(m):
                if not taken[pool[j]] and (first < 0 or tickets[j] < tickets[first]):
                    first = j
            out[k], explored[k], propensities[k] = pool[first], True, rate / m
        taken[out[k]] = 1
    rest = n
    for i in range(len(items)):
        if not taken[i]:
            out[rest] = i
            rest += 1


@kernel(i4[::1], u4[::1], i8, b1[::1])
def _hold(items: I32, category: NDArray[np.uint32], least: int, free: NDArray[np.bool_]) -> None:
    """Hold the first place, and the first items of the first `least` categories."""
    n, kinds = len(free), 0
    for k in range(n):
        own, first = category[items[k]], category[items[k]] != 0
        for j in range(k):
            if category[items[j]] == own:
                first = False
        if first and kinds < least:
            kinds += 1
            free[k] = False
    if n:
        free[0] = False


class ExplorationRule:
    """Gives each free place, with a stated probability, to an item drawn evenly from a pool of others.

    The list as ranked and arranged is `L`, of `n` places; `F` are the free ones: not the first, not the first item of each of
    the first `least` categories (so no list gets too narrow), not what a rule holds. The pool is `m` candidates that are not in
    `L` and that no rule holds back, of other categories first, then new items. Each place of `F` is drawn, independently, with
    probability `e = min(2 share, share n / |F|)`: a drawn place gets the next item of the pool in random order, another keeps
    its own. So, exactly, with `e` and `m` as they were for this list:

    * `L[k]` stands at `k` with probability `1 - e` where `k` is free, else 1;
    * each item of the pool stands at `k` with probability `e / m` where `k` is free, else 0;
    * nothing else ever does.

    That is the logged propensity, so a reward that hangs on item and rank, weighted with what another policy's probability of
    that item at that rank is over the propensity, is an unbiased estimate of that policy's reward (inverse propensity scoring;
    Horvitz and Thompson 1952; by item and rank: Li et al. 2018) as long as it shows nothing that could not have been drawn.

    Chance is a hash of visitor, day, surface, item page and `Query.seed`: asked again, the list is the same, and what a click
    changes is what the click changed. Probabilities are over visitors, days and seeds. What is not logged does not explore.

    Args:
        share: of places, in the mean; 0 for none.
        pool: most items that may be drawn for a list.
        most: items of one category in a list, 0 for no cap.
        least: categories in a list of twenty that must not be lost.
        days: age up to which an item counts as new.
    """

    name = "exploration"
    order = 100
    last = True
    settings: ClassVar = {"share": "exploration", "most": "per_category", "least": "categories"}

    def __init__(self, share: float = 0.1, pool: int = 40, most: int = 5, least: int = 5, days: float = 14) -> None:
        self.share, self.pool, self.most, self.least, self.days = share, pool, most, least, days

    def bind(self, world: World) -> None:
        """Read this world's categories, ages and keys."""
        self._world = world

    def arrange(self, query: Query, user: UserState, ranked: Ranked, size: int) -> I32 | Arranged:
        """Return the new order with its propensities: what was drawn, `[n] int32`; unknown (NaN) beyond the list."""
        items = ranked.candidates.items
        n, whole = min(size, len(items)), len(items)
        if self.share <= 0 or not query.log or not query.limits or whole <= n:
            return np.arange(whole, dtype=np.int32)
        columns, since = self._world.columns, query.now - int(self.days * DAY)
        pool = np.empty(min(self.pool, whole - n), np.int32)
        held = np.zeros(whole, np.bool_) if ranked.held is None else ranked.held
        pool = pool[: _pool(items, held, columns.category, columns.created, n, since, self.most, pool)]
        free = ~held[:n]
        _hold(items, columns.category, -(-self.least * n // PAGE), free)
        out, propensities = np.empty(whole, np.int32), np.full(whole, np.nan, np.float32)
        # Each row of a page has chances of its own; rows have no item in common.
        apart = int(columns.key[items[0]]) if query.rows is not None else 0
        explored, seed = np.zeros(whole, np.bool_), draw_seed(query, apart)
        _draw(items, columns.key, pool, free, self.share, min(1.0, 2 * self.share), seed, out, propensities, explored)
        return Arranged(out, propensities, explored=explored)


def draw_seed(query: Query, apart: int = 0) -> int:
    """Return the 64 bits that all chance in a list comes from; `apart` tells lists of one query apart."""
    q = query
    return key(f"{q.visitor} {q.now // DAY} {q.surface} {q.item_id} {len(q.exclude)} {q.seed} {apart}")
