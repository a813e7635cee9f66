"""ALS: matrix factorisation of who touched what (Hu, Koren, Volinsky 2008), asked with the recent history.

No user vector is stored: the query's vector is folded in from the visitor's last items, the newest weighing most, as
x = (YᵀY + λI)⁻¹ Σ decayʲ yⱼ. So it follows each click, and a release holds no user's data.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nearline.features.history import HistoryFold, recent_slots
from nearline.schema.candidates import F32, I32, NOTHING, Retrieved
from nearline.schema.components import Arrays, FitData, Fold, Stateful, UserState, World
from nearline.schema.event import Role
from nearline.schema.kernel import f4, i1, i2, i4, kernel
from nearline.schema.query import Query
from nearline.sources.covisit import page_item
from nearline.sources.top import best

SCANNED = 64
"""Principal dimensions that the scan of all items looks at."""


@kernel(f4[:, ::1], i4[::1], f4[::1], f4[::1])
def _strongest(vectors: F32, rows: I32, weights: F32, query: F32) -> int:
    """Return the place among `rows` that speaks most for `query`."""
    winner, most = 0, np.float32(-1e30)
    for j in range(len(rows)):
        dot = np.float32(0.0)
        for d in range(len(query)):
            dot += vectors[rows[j], d] * query[d]
        if weights[j] * dot > most:
            winner, most = j, weights[j] * dot
    return winner


@kernel(i1[:, ::1], f4[::1], i2[::1], f4, f4[::1])
def _scan(codes: NDArray[np.int8], scales: F32, query: NDArray[np.int16], scale: np.float32, out: F32) -> None:
    """Write approximate inner products; integer sums, so that they are exact in any order and vectorise."""
    for i in range(len(codes)):
        total = np.int32(0)
        for d in range(len(query)):
            # The casts keep the sum at 32 bits, which vectorises; 127 * 2047 * 2048 dimensions still fit.
            total = np.int32(total + np.int32(codes[i, d]) * np.int32(query[d]))
        out[i] = total * scales[i] * scale


def _quantise(vectors: F32) -> tuple[NDArray[np.int8], F32]:
    """Return codes `[n, d] int8` and a scale per row `[n] float32`."""
    scales = np.maximum(np.abs(vectors).max(axis=1), 1e-12).astype(np.float32) / 127.0
    return np.rint(vectors / scales[:, None]).astype(np.int8), scales


class AlsSource:
    """Items near the visitor's recent taste in a space learned from everyone's history.

    Args:
        quota: candidates at most.
        factors: dimension of the vectors (128 by default; what `train` exports).
        regularization, alpha, iterations: see `implicit.als`.
        ask: how many of the last items to fold in.
        decay: weight of each further one.
    """

    name = "als"
    reason: ClassVar[str] = "similar_taste"
    template: ClassVar[str] = "People with your taste, after {title}"
    time_based = False

    def __init__(
        self,
        quota: int = 500,
        factors: int = 128,
        regularization: float = 0.05,
        alpha: float = 10.0,
        iterations: int = 12,
        ask: int = 20,
        decay: float = 0.85,
    ) -> None:
        self.quota, self.factors, self.ask = quota, factors, ask
        self.regularization, self.alpha, self.iterations = regularization, alpha, iterations
        self.state: tuple[Stateful, ...] = ()
        self.folds: tuple[Fold, ...] = (HistoryFold(),)
        self._decay = (decay ** np.arange(ask)).astype(np.float32)

    def fit(self, data: FitData) -> Arrays:
        """Return `keys [n] uint64`, `vectors [n, factors] float32` and `solve [factors, factors]`; `{}` for too little data."""
        from implicit.als import AlternatingLeastSquares
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        events = data.events
        fine = (events["item"] != 0) & (events["weight"] > 0) & (events["role"] >= Role.VIEW)
        fine &= np.isin(events["item"], data.items)
        events = events[fine & (events["role"] <= Role.CONVERSION)]
        users, rows = np.unique(events["user"], return_inverse=True)
        keys, columns = np.unique(events["item"], return_inverse=True)
        factors = min(self.factors, len(keys) - 1, len(users) - 1)
        if factors < 2:
            return {}
        weights = events["weight"].astype(np.float32) / 1000.0
        matrix = sparse.csr_matrix((weights, (rows, columns)), shape=(len(users), len(keys)), dtype=np.float32)
        matrix.sum_duplicates()
        matrix.data = np.log1p(matrix.data)
        # Two pools of threads would fight: implicit has its own, so BLAS gets one.
        with threadpool_limits(1, "blas"):
            model = AlternatingLeastSquares(
                factors=factors,
                regularization=self.regularization,
                alpha=self.alpha,
                iterations=self.iterations,
                random_state=data.seed,
                num_threads=2,
            )
            model.fit(matrix, show_progress=False)
        vectors = np.ascontiguousarray(model.item_factors, np.float32)
        gram = vectors.T @ vectors + self.regularization * len(users) / len(keys) * np.eye(factors, dtype=np.float32)
        return {"keys": keys, "vectors": vectors, "solve": np.linalg.inv(gram).astype(np.float32)}

    def bind(self, world: World, arrays: Arrays) -> None:
        """Take vectors and the rows of this process's items."""
        self._world = world
        self._vectors: F32 | None = arrays.get("vectors")
        if self._vectors is None:
            return
        self._keys, self._solve = arrays["keys"], arrays["solve"]
        # Turned so that the first dimensions carry most of the energy; the scan reads these alone.
        _, axes = np.linalg.eigh(self._vectors.T @ self._vectors)
        self._turn = np.ascontiguousarray(axes[:, ::-1][:, :SCANNED].T)
        self._codes, self._scales = _quantise(np.ascontiguousarray(self._vectors @ self._turn.T))
        self._seen = -1
        self._map()

    def _map(self) -> None:
        """Match the release's rows with this process's slots, again whenever items have come."""
        n = self._world.n_items
        if n == self._seen:
            return
        slots = self._world.item_slots(self._keys)
        row_of = np.full(n, -1, np.int32)
        known = slots >= 0
        row_of[slots[known]] = np.flatnonzero(known).astype(np.int32)
        self._slots, self._row_of, self._seen = slots, row_of, n
        self._strangers = not known.all()

    def fetch(self, query: Query, user: UserState, limit: int) -> Retrieved:
        """Return the items nearest to the folded-in history and the page's item."""
        if self._vectors is None:
            return NOTHING
        self._map()
        recent, _ = recent_slots(user, self._world, self.ask)
        if (slot := page_item(query, self._world)) >= 0:
            recent = np.concatenate(([slot], recent[recent != slot]))[: self.ask].astype(np.int32)
        recent = recent[recent < len(self._row_of)]
        rows = self._row_of[recent]
        weights, recent, rows = self._decay[: len(rows)][rows >= 0], recent[rows >= 0], rows[rows >= 0]
        if len(rows) == 0:
            return NOTHING
        taste = self._solve @ (weights @ self._vectors[rows])
        # Codes of 8 bits: a fourth of the memory to read; the query keeps 12 bits, so the sum fits 32.
        turned = self._turn @ taste
        scale = np.float32(max(float(np.abs(turned).max()), 1e-12) / 2047.0)
        scores = np.empty(len(self._codes), np.float32)
        _scan(self._codes, self._scales, np.rint(turned / scale).astype(np.int16), scale, scores)
        if self._strangers:
            scores[self._slots < 0] = 0.0
        places = best(scores, limit)
        winner = _strongest(self._vectors, rows, weights, taste)
        because = np.full(len(places), recent[winner], np.int32)
        return Retrieved(self._slots[places], scores[places], because)
