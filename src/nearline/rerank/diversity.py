"""Diversity: maximal marginal relevance (Carbonell and Goldstein 1998) over the head of the list."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32, Ranked
from nearline.schema.components import UserState, World
from nearline.schema.kernel import f4, i4, i8, kernel, u4
from nearline.schema.query import Query


@kernel(i4[::1], f4[::1], u4[::1], u4[::1], f4, i8, i4[::1])
def _mmr(
    items: I32,
    scores: F32,
    category: NDArray[np.uint32],
    brand: NDArray[np.uint32],
    trade: np.float32,
    size: int,
    out: I32,
) -> None:
    """Fill `out` with the places of `size` picks, then the others in order."""
    n = len(items)
    low, high = scores[0], scores[0]
    for i in range(n):
        low, high = min(low, scores[i]), max(high, scores[i])
    spread = max(high - low, np.float32(1e-9))
    relevance, closest, value = np.empty(n, np.float32), np.zeros(n, np.float32), np.empty(n, np.float32)
    categories, brands = np.empty(n, np.uint32), np.empty(n, np.uint32)
    taken = np.zeros(n, np.uint8)
    keep = np.float32(1.0) - trade
    for i in range(n):
        relevance[i] = keep * ((scores[i] - low) / spread)
        categories[i], brands[i] = category[items[i]], brand[items[i]]
    value[:] = relevance
    for chosen in range(min(size, n)):
        pick, most = 0, np.float32(-1e30)
        for i in range(n):
            if value[i] > most:
                pick, most = i, value[i]
        out[chosen] = pick
        taken[pick] = 1
        relevance[pick] = np.float32(-1e30)
        own_category, own_brand = categories[pick], brands[pick]
        # What has no category or brand is near nothing.
        by_category = np.float32(0.7) if own_category != 0 else np.float32(0.0)
        by_brand = np.float32(0.3) if own_brand != 0 else np.float32(0.0)
        for i in range(n):
            near = by_category if categories[i] == own_category else np.float32(0.0)
            near += by_brand if brands[i] == own_brand else np.float32(0.0)
            closest[i] = max(closest[i], near)
            value[i] = relevance[i] - trade * closest[i]
    rest = min(size, n)
    for i in range(n):
        if taken[i] == 0:
            out[rest] = i
            rest += 1


class DiversityRule:
    """Trades relevance for difference from what is already in the list (category 0.7, brand 0.3).

    Args:
        trade: 0 keeps the ranking, 1 looks at difference alone; scores are scaled to 0..1 over the head.
        head: how many of the best are looked at.
    """

    name = "diversity"
    settings: ClassVar = {"trade": "diversity"}

    def __init__(self, trade: float = 0.1, head: int = 200) -> None:
        self.trade, self.head = trade, head

    def bind(self, world: World) -> None:
        """Read this world's categories and brands."""
        self._world = world

    def arrange(self, query: Query, user: UserState, ranked: Ranked, size: int) -> I32:
        """Return places of the head in the new order, `[min(head, n)] int32`."""
        n = min(self.head, len(ranked.scores))
        out = np.arange(n, dtype=np.int32)
        if n and self.trade > 0:
            columns = self._world.columns
            scores = np.ascontiguousarray(ranked.scores[:n])
            items = np.ascontiguousarray(ranked.candidates.items[:n])
            _mmr(items, scores, columns.category, columns.brand, np.float32(self.trade), 2 * size, out)
        return out
