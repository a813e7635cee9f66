"""SLIM: a sparse linear model of what comes after and what goes with what (Ning, Karypis 2011), where EASE is too big."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nearline.schema.candidates import F32, I32
from nearline.schema.components import UserState
from nearline.schema.kernel import f4, f8, i4, i8, kernel
from nearline.schema.query import Query
from nearline.sources.asked import asked_items, ways
from nearline.sources.ease import LARGEST
from nearline.sources.item_order import THREADS, item_order
from nearline.sources.neighbours import Histories, NeighbourSource, table_of, told
from nearline.sources.tally import scratch

FAR = 50
"""Steps between two events of a visitor beyond which they do not count as a pair."""
PAIRS = 1_000_000_000
"""Pairs of events counted at most; with more, they reach less far."""
HELD = 50_000_000
"""Pairs of items held at most, 12 bytes each."""
SWEEPS = 12
"""Over an item's neighbours, at most."""
I64 = NDArray[np.int64]


@kernel(i4[::1], f4[::1], i8[::1], i4[::1], i4[::1], i4[::1], i8, f4[::1], f8, f8, i8, i8, i4[:, ::1], f4[:, ::1], f4[:, ::1])
def _pairs(
    items: I32,
    values: F32,
    begins: I64,
    events: I32,
    before: I32,
    after_it: I32,
    far: int,
    own: F32,
    fade: float,
    together: float,
    begin: int,
    end: int,
    others: I32,
    gram: F32,
    target: F32,
) -> None:
    """Write, for items begin to end, those that most explain each, and what is known of the pairs.

    Args:
        items, values: of all events, visitor by visitor.
        begins, events, before, after_it: see `ItemOrder`.
        far: steps between two events beyond which they do not count as a pair.
        own: sum of each item's own squares and λ.
        others, gram, target: `[n, most]`; -1 where there are no more.
    """
    n, most = len(begins) - 1, others.shape[1]
    total, after, marks = np.zeros(n, np.float32), np.zeros(n, np.float32), np.zeros(n, np.uint8)
    met, worth = np.empty(n, np.int32), np.empty(n, np.float32)
    fading = np.empty(1 + FAR, np.float32)
    for lag in range(1 + FAR):
        fading[lag] = fade**lag
    for item in range(begin, end):
        found = 0
        for place in range(begins[item], begins[item + 1]):
            at = events[place]
            for other in range(at - min(before[at], far), at + min(after_it[at], far) + 1):
                beside = items[other]
                if beside == item:
                    continue
                if marks[beside] == 0:
                    marks[beside] = 1
                    met[found] = beside
                    found += 1
                part = values[at] * values[other]
                near = fading[abs(at - other)] * part
                total[beside] += near + np.float32(together) * part
                after[beside] += near if other > at else np.float32(0.0)
        # By how much less is left unexplained with this neighbour alone.
        for j in range(found):
            other = met[j]
            spoken = total[other] - after[other]
            worth[j] = spoken * spoken / own[other] if spoken > 0 else 0.0
        kept = min(found, most)
        order = np.argsort(-worth[:found])[:kept] if found > most else np.arange(found)
        for j in range(kept):
            other = met[order[j]]
            others[item, j], gram[item, j], target[item, j] = other, total[other], total[other] - after[other]
        others[item, kept:] = -1
        for j in range(found):
            other = met[j]
            after[other], total[other], marks[other] = 0.0, 0.0, 0


@kernel(i4[:, ::1], f4[:, ::1], f4[:, ::1], f4[::1], f8, i8, i8, f4[:, ::1])
def _regress(others: I32, gram: F32, target: F32, own: F32, lasso: float, begin: int, end: int, weights: F32) -> None:
    """Regress items begin to end each on its neighbours, by coordinate descent, weights at least 0; write `[n, most]`."""
    n, most = others.shape
    place = np.full(n, -1, np.int32)
    pairs, left = np.zeros((most, most), np.float32), np.empty(most, np.float32)
    for item in range(begin, end):
        size = 0
        while size < most and others[item, size] >= 0:
            place[others[item, size]] = size
            size += 1
        pairs[:size, :size] = 0.0
        for a in range(size):
            row = others[item, a]
            for j in range(most):
                if others[row, j] < 0:
                    break
                b = place[others[row, j]]
                if b >= 0:
                    # Known from either side: each keeps only its strongest pairs.
                    pairs[a, b] = gram[row, j]
                    pairs[b, a] = gram[row, j]
        left[:size] = target[item, :size]
        weights[item, :] = 0.0
        for _ in range(SWEEPS):
            moved = np.float32(0.0)
            for a in range(size):
                # `left` has no part of the weight's own; λ is in the sum of squares.
                fresh = max(np.float32(0.0), (left[a] - np.float32(lasso)) / own[others[item, a]])
                step = fresh - weights[item, a]
                if step == 0.0:
                    continue
                weights[item, a] = fresh
                for b in range(size):
                    left[b] -= step * pairs[a, b]
                moved = max(moved, abs(step))
            if moved < 1e-3:
                break
        for a in range(size):
            place[others[item, a]] = -1


class SlimSource(NeighbourSource):
    """What comes after the visitor's last items, and goes with them, once their like are accounted for; for large catalogues.

    What EASE with order regresses on all items (see `sources/ease.py`), this regresses on the items that most explain each one,
    by an elastic net with weights w of at least 0: the least of w'(G + λI)w / 2 - w't + lasso Σw. It costs pairs of events, and
    items by neighbours squared, not items squared. Fitted only where `ease` is not.

    Of every candidate it tells what `ease` tells: what the last item says of it, what the last ones do, and what all do.

    Args:
        quota: candidates at most.
        neighbours: how many items explain each one at most, and how many each one speaks for.
        regularization: λ, in events of mean weight.
        lasso: what a neighbour must explain to count, in events of mean weight.
        fade: what each further step between two events of a visitor leaves of their pair.
        together: what a pair counts however far apart, up to 50 steps, in either order.
        least: fitted only for catalogues with more touched items than this.
        ask: how many of the last items to ask with.
        decay: weight of each further one.
        long: the same where all that is kept of the visitor is asked with.
    """

    name = "slim"
    tells: tuple[str, ...] = ("last", "recent", "long")

    def __init__(
        self,
        quota: int = 200,
        neighbours: int = 100,
        regularization: float = 100.0,
        lasso: float = 0.3,
        fade: float = 0.8,
        together: float = 0.2,
        least: int = LARGEST,
        ask: int = 12,
        decay: float = 0.75,
        long: float = 0.97,
    ) -> None:
        super().__init__(quota, ask, decay)
        self._decays = ways(self.ask, decay, long)
        self.neighbours, self.regularization, self.lasso = neighbours, regularization, lasso
        self.fade, self.together, self.least = fade, together, least

    def why_not(self, n: int) -> str:
        """Leave a catalogue to EASE that it covers."""
        return "" if n > self.least else f"{n:,} items are touched, at most {self.least:,}: ease covers them"

    def learn(self, past: Histories, seed: int) -> tuple[I32, NDArray[np.float16]] | None:
        """Return what each item says of others."""
        n = len(past.keys)
        most = max(8, min(self.neighbours, HELD // n))
        own = (1.0 + self.together) * np.bincount(past.items, past.values.astype(np.float64) ** 2, n)
        own = (own + self.regularization).astype(np.float32)
        far = max(1, min(FAR, PAIRS // (2 * max(1, len(past.items)))))
        order = item_order(past)
        others, gram = np.empty((n, most), np.int32), np.empty((n, most), np.float32)
        target, weights = np.empty((n, most), np.float32), np.empty((n, most), np.float32)

        def pairs(begin: int, end: int) -> None:
            _pairs(
                past.items, past.values, *order, far, own,
                self.fade, self.together, begin, end, others, gram, target,
            )  # fmt: skip

        def regress(begin: int, end: int) -> None:
            _regress(others, gram, target, own, self.lasso, begin, end, weights)

        cuts = np.linspace(0, n, min(n, 8 * THREADS) + 1).astype(int).tolist()
        with ThreadPoolExecutor(THREADS) as pool:
            for step in (pairs, regress):
                list(pool.map(step, cuts[:-1], cuts[1:]))
        kept = weights > 0
        said = sparse.csr_matrix((weights[kept], (others[kept], np.nonzero(kept)[0])), shape=(n, n), dtype=np.float32)
        return table_of(said, self.neighbours) if said.nnz else None

    def tell(self, query: Query, user: UserState, items: I32, out: F32) -> None:
        """Fill `[3, n] float32`: what the last item says, what the last ones do, and what all do."""
        if self._mapped is None:
            out[:] = 0.0
            return
        recent = asked_items(query, user, self._world, self._decays.shape[1])
        row_of, slots = self._mapped.current()
        memory = scratch(max(len(row_of), len(slots)))
        told(recent, self._decays, row_of, self._neighbours, self._weights, items, memory, out)
