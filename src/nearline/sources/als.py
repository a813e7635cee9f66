"""ALS: matrix factorisation of who touched what (Hu, Koren, Volinsky 2008), asked with the recent history.

No user vector is stored: the query's vector is folded in from the visitor's last items, the newest weighing most, as
x = (YᵀY + λI)⁻¹ Σ decayʲ yⱼ. So it follows each click, and a release holds no user's data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nearline.features.history import HistoryFold
from nearline.schema.candidates import F32, I32, NOTHING, Retrieved
from nearline.schema.components import Arrays, FitData, Fold, Stateful, UserState, World
from nearline.schema.factors import Factors, Recipe
from nearline.schema.interactions import PairSums, confidence, touching
from nearline.schema.kernel import f4, i1, i4, inline, kernel
from nearline.schema.query import Query
from nearline.schema.span import Span
from nearline.schema.vectors import embedding_of
from nearline.sources.asked import asked_items
from nearline.sources.outside import OutsideSearch
from nearline.sources.tally import ROWS, first, keys_of, room_for, scratch
from nearline.sources.top import head

SCANNED = 64
"""Principal dimensions that the scan of all items looks at."""


@inline
def _dot(codes: NDArray[np.int8], row: int, query: NDArray[np.int16]) -> Any:
    """Return an exact integer sum; the fixed length and the casts to 32 bits let it be vectorised."""
    total = np.int32(0)
    own = codes[row * SCANNED : row * SCANNED + SCANNED]
    for d in range(SCANNED):
        total = np.int32(total + np.int32(own[d]) * np.int32(query[d]))
    return total


@kernel(i4[::1], f4[::1], i4[::1], i4[::1], f4[:, ::1], i1[::1], f4[::1], i4[::1], i4[::1], f4[::1], i4[::1])
def _ask(
    recent: I32,
    decay: F32,
    row_of: I32,
    slots: I32,
    folded: F32,
    codes: NDArray[np.int8],
    scales: F32,
    memory: I32,
    items: I32,
    scores: F32,
    because: I32,
) -> int:
    """Fold the recent items in, scan all items, write the nearest, best first; return how many."""
    taste, rows = np.zeros(SCANNED, np.float32), np.full(len(recent), -1, np.int32)
    for j in range(len(recent)):
        if recent[j] < len(row_of):
            rows[j] = row_of[recent[j]]
        if rows[j] >= 0:
            own = folded[rows[j]]
            for d in range(SCANNED):
                taste[d] += decay[j] * own[d]
    if len(recent) == 0 or rows.max() < 0:
        return 0
    # Codes of 8 bits: a fourth of the memory to read; the query keeps 12 bits, so the sum fits 32.
    scale = max(np.abs(taste).max(), np.float32(1e-12)) / np.float32(2047.0)
    query = np.empty(SCANNED, np.int16)
    for d in range(SCANNED):
        query[d] = np.int16(np.rint(taste[d] / scale))
    n, room = len(scales), len(memory) // ROWS
    near = memory[9 * room : 9 * room + n].view(np.float32)
    for i in range(n):
        near[i] = np.float32(_dot(codes, i, query)) * (scales[i] * scale)
    reason, most = -1, np.float32(-1e30)
    for j in range(len(recent)):
        if rows[j] >= 0 and decay[j] * near[rows[j]] > most:
            reason, most = recent[j], decay[j] * near[rows[j]]
    keys, spare = keys_of(memory)
    found, count = head(near, len(items), keys, spare)
    for j in range(count):
        row = found[j] & np.uint64(0xFFFFFFFF)
        items[j], scores[j], because[j] = slots[row], near[row], reason
    return int(count)


def _quantise(vectors: F32) -> tuple[NDArray[np.int8], F32]:
    """Return codes `[n, d] int8` and a scale per row `[n] float32`."""
    scales = np.maximum(np.abs(vectors).max(axis=1), 1e-12).astype(np.float32) / 127.0
    return np.rint(vectors / scales[:, None]).astype(np.int8), scales


def factorised(data: FitData, recipe: Recipe) -> Factors | None:
    """Factorise in this process; see `Factoriser`."""
    from implicit.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    events = data.events[touching(data.events)]
    events = events[np.isin(events["item"], data.items)]
    touched = PairSums()
    touched.add(events["user"], events["item"], events["weight"])
    by_user, by_item, weights = touched.sums()
    users, rows = np.unique(by_user, return_inverse=True)
    keys, columns = np.unique(by_item, return_inverse=True)
    factors = min(recipe.factors, len(keys) - 1, len(users) - 1)
    if factors < 2:
        return None
    matrix = sparse.csr_matrix((confidence(weights), (rows, columns)), shape=(len(users), len(keys)), dtype=np.float32)
    # Two pools of threads would fight: implicit has its own, so BLAS gets one.
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=factors,
            regularization=recipe.regularization,
            alpha=recipe.alpha,
            iterations=recipe.iterations,
            random_state=data.seed,
            num_threads=2,
        )
        model.fit(matrix, show_progress=False)
    return Factors(keys, np.ascontiguousarray(model.item_factors, np.float32), len(users))


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
    family = "collaborative"
    reason: ClassVar[str] = "similar_taste"
    template: ClassVar[str] = "People with your taste, after {title}"
    time_based = False
    indexed = True
    tunes: ClassVar[Mapping[str, Span]] = {
        "regularization": Span(0.005, 0.5, log=True),
        "alpha": Span(1, 50, log=True),
        "iterations": Span(5, 20),
        "decay": Span(0.6, 0.97),
    }
    surfaces = ("homepage", "email", "push", "search")
    _outside: OutsideSearch | None = None

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
        recipe = Recipe(self.factors, self.regularization, self.alpha, self.iterations)
        found = (data.factoriser or factorised)(data, recipe)
        if found is None:
            return {}
        vectors, ridge = found.vectors, self.regularization * found.users / len(found.keys)
        gram = vectors.T @ vectors + ridge * np.eye(vectors.shape[1], dtype=np.float32)
        return {"keys": found.keys, "vectors": vectors, "solve": np.linalg.inv(gram).astype(np.float32)}

    def bind(self, world: World, arrays: Arrays) -> None:
        """Take the vectors, in the form that a request reads, and the rows of this process's items; or have an index asked."""
        self._world = world
        self._fitted, self._outside = bool(arrays), None
        if not self._fitted:
            return
        index = world.index_of(embedding_of(self.name, arrays["keys"], arrays["vectors"]))
        if index is not None:
            self._outside = OutsideSearch(world, index, arrays)
            return
        self._keys: NDArray[np.uint64] = arrays["keys"]
        # Turned so that the first dimensions carry most of the energy; the scan reads these alone.
        vectors: F32 = arrays["vectors"]
        _, axes = np.linalg.eigh(vectors.T @ vectors)
        turn = np.zeros((SCANNED, vectors.shape[1]), np.float32)
        turn[: axes.shape[1]] = axes[:, ::-1].T[:SCANNED]
        codes, self._scales = _quantise(vectors @ turn.T)
        self._codes = codes.reshape(-1)
        # What each item adds to the query, so that a request sums rows and solves nothing.
        self._folded = np.ascontiguousarray(vectors @ (turn @ arrays["solve"]).T)
        self._map()

    def renew(self, now: int) -> None:
        """Ask an index that did not answer again."""
        if self._outside is not None:
            self._outside.renew()

    def _map(self) -> None:
        """Match the release's rows with this process's slots."""
        n = self._world.n_items
        slots = self._world.item_slots(self._keys)
        known = slots >= 0
        row_of = np.full(n, -1, np.int32)
        row_of[slots[known]] = np.flatnonzero(known)
        # One assignment; a row without a slot is scaled to nothing, and looked for again when items have come.
        self._mapped = row_of, slots, np.where(known, self._scales, np.float32(0.0)), n if not known.all() else None

    def fetch(self, query: Query, user: UserState, limit: int) -> Retrieved:
        """Return the items nearest to the folded-in history and the page's item."""
        if not self._fitted:
            return NOTHING
        recent = asked_items(query, user, self._world, self.ask)
        if len(recent) == 0:
            return NOTHING
        if self._outside is not None:
            return self._outside.fetch(recent, self._decay, limit)
        n = self._world.n_items
        if self._mapped[3] not in (None, n):
            self._map()
        row_of, slots, scales, _ = self._mapped
        found = room_for(limit, len(slots))
        count = _ask(
            recent,
            self._decay,
            row_of,
            slots,
            self._folded,
            self._codes,
            scales,
            scratch(max(n, len(slots))),
            found.items,
            found.scores,
            found.because,
        )
        return first(found, count)
