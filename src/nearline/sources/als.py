"""ALS: matrix factorisation of who touched what (Hu, Koren, Volinsky 2008), asked with the recent history.

No user vector is stored: the query's vector is folded in from the visitor's last items, the newest weighing most, as
x = (YᵀY + λI)⁻¹ Σ decayʲ yⱼ. So it follows each click, and a release holds no user's data. Items that come after training get
vectors too: see `sources/new_item_vectors.py`.
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
from nearline.schema.kernel import f4, i4, inline, kernel
from nearline.schema.query import Query
from nearline.schema.span import Span
from nearline.sources.asked import asked_items
from nearline.sources.neighbours import histories
from nearline.sources.new_item_vectors import NewItemVectors, learned_lift, new_items
from nearline.sources.row_map import RowMap, row_at
from nearline.sources.slot_vectors import product
from nearline.sources.vector_search import VectorSearch
from nearline.sources.visits import VisitTables

AGAIN = 3
"""Iterations that go on from earlier vectors."""


@inline
def _at(slot: int, row_of: I32, late_of: I32) -> Any:
    """Return a slot's row among the release's vectors and, behind them, those of new items; -1 for none."""
    row = row_at(row_of, slot)
    return row if row >= 0 else row_at(late_of, slot)


@inline
def _vector(row: int, vectors: F32, late: F32) -> Any:
    return vectors[row] if row < len(vectors) else late[row - len(vectors)]


@kernel(i4[::1], i4[::1], i4[::1], f4[::1], f4[:, ::1], f4[:, ::1], f4[:, ::1], f4[::1])
def _fold_in(recent: I32, row_of: I32, late_of: I32, decay: F32, vectors: F32, late: F32, solve: F32, taste: F32) -> int:
    """Fold the recent items in; return the one that does most for what is nearest, -1 where none has a vector."""
    total = np.zeros(len(taste), np.float32)
    for j in range(len(recent)):
        row = _at(recent[j], row_of, late_of)
        if row >= 0:
            own = _vector(row, vectors, late)
            for d in range(len(taste)):
                total[d] += decay[j] * own[d]
    for d in range(len(taste)):
        for e in range(len(taste)):
            taste[e] += solve[d, e] * total[d]  # it is symmetric
    reason, most = -1, np.float32(-np.inf)
    for j in range(len(recent)):
        row = _at(recent[j], row_of, late_of)
        if row >= 0:
            near = decay[j] * product(_vector(row, vectors, late), taste)
            if near > most:
                reason, most = recent[j], near
    return int(reason)


def factorised(data: FitData, recipe: Recipe) -> Factors | None:
    """Factorise in this process, going on from earlier vectors where there are such; see `Factoriser`."""
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
    start = _start(data, keys, factors)
    matrix = sparse.csr_matrix((confidence(weights), (rows, columns)), shape=(len(users), len(keys)), dtype=np.float32)
    # Two pools of threads would fight: implicit has its own, so BLAS gets one.
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=factors,
            regularization=recipe.regularization,
            alpha=recipe.alpha,
            iterations=recipe.iterations if start is None else AGAIN,
            random_state=data.seed,
            num_threads=2,
        )
        model.item_factors = start
        model.fit(matrix, show_progress=False)
    vectors = np.ascontiguousarray(model.item_factors, np.float32)
    return Factors(*(_with_former(data, keys, vectors) if start is not None else (keys, vectors)), len(users))


def _start(data: FitData, keys: NDArray[np.uint64], factors: int) -> F32 | None:
    """Return the vectors to go on from, small noise for new items; `None` where there are none of this dimension."""
    if not data.earlier or data.earlier["vectors"].shape[1] != factors:
        return None
    start = np.random.default_rng(data.seed).uniform(0.0, 0.01, (len(keys), factors)).astype(np.float32)
    place = np.searchsorted(data.earlier["keys"], keys).clip(max=len(data.earlier["keys"]) - 1)
    known = data.earlier["keys"][place] == keys
    start[known] = data.earlier["vectors"][place[known]]
    return start


def _with_former(data: FitData, keys: NDArray[np.uint64], vectors: F32) -> tuple[NDArray[np.uint64], F32]:
    """Return what was learned, and what was known of items of the catalogue that nobody touched since; in order of key."""
    assert data.earlier is not None
    former = data.earlier["keys"]
    kept = np.isin(former, data.items) & ~np.isin(former, keys)
    keys, vectors = np.concatenate((keys, former[kept])), np.concatenate((vectors, data.earlier["vectors"][kept]))
    order = np.argsort(keys)
    return keys[order], np.ascontiguousarray(vectors[order], np.float32)


_NONE, _NOWHERE = np.empty((0, 0), np.float32), np.empty(0, np.int32)


class AlsSource:
    """Items near the visitor's recent taste in a space learned from everyone's history.

    Args:
        quota: candidates at most.
        factors: dimension of the vectors (64 by default; what `train` exports).
        regularization, alpha, iterations: see `implicit.als`.
        ask: how many of the last items to fold in.
        decay: weight of each further one.
        new_items: that get vectors at most, the most visited; 0 for none, and then visits are not kept.
    """

    name = "als"
    family = "collaborative"
    reason: ClassVar[str] = "similar_taste"
    template: ClassVar[str] = "People with your taste, after {title}"
    time_based = False
    indexed = True
    surfaces = ("homepage", "email", "push", "search")
    search: VectorSearch | None = None
    _new: NewItemVectors | None = None
    tunes: ClassVar[Mapping[str, Span]] = {
        "regularization": Span(0.005, 0.5, log=True),
        "alpha": Span(1, 50, log=True),
        "iterations": Span(5, 20),
        "decay": Span(0.6, 0.97),
    }

    def __init__(
        self,
        quota: int = 500,
        factors: int = 64,
        regularization: float = 0.05,
        alpha: float = 10.0,
        iterations: int = 12,
        ask: int = 20,
        decay: float = 0.85,
        new_items: int = 20_000,
    ) -> None:
        self.quota, self.factors, self.ask = quota, factors, ask
        self.regularization, self.alpha, self.iterations = regularization, alpha, iterations
        self.new_items = new_items
        self.state: tuple[Stateful, ...] = (VisitTables(),) if new_items else ()
        self.folds: tuple[Fold, ...] = (HistoryFold(),)
        self._decay = (decay ** np.arange(ask)).astype(np.float32)

    def fit(self, data: FitData) -> Arrays:
        """Return `keys [n] uint64`, `vectors [n, d] float32`, `solve [d, d]`, and for new items `lift [d + 1, d]`.

        `{}` for too little data.
        """
        recipe = Recipe(self.factors, self.regularization, self.alpha, self.iterations)
        found = (data.factoriser or factorised)(data, recipe)
        if found is None:
            return {}
        # Kernels read nothing that can't be written to, as what came from Spark can't.
        vectors, ridge = np.require(found.vectors, np.float32, ["C", "W"]), self.regularization * found.users / len(found.keys)
        gram = vectors.T @ vectors + ridge * np.eye(vectors.shape[1], dtype=np.float32)
        solve = np.linalg.inv(gram).astype(np.float32)
        arrays: Arrays = {"keys": found.keys, "vectors": vectors, "solve": solve}
        return arrays | ({"lift": learned_lift(histories(data), found.keys, vectors)} if self.new_items else {})

    def bind(self, world: World, arrays: Arrays) -> None:
        """Take the vectors, and have them searched."""
        self._world, self.search, self._new = world, None, None
        if arrays:
            self.search, self._rows = VectorSearch(world, self.name, arrays), RowMap(world, arrays["keys"])
            # Kernels read nothing that can't be written to, as what came from Spark can't.
            self._vectors: F32 = np.require(arrays["vectors"], np.float32, ["C", "W"])
            self._solve: F32 = arrays["solve"]
            self._new = new_items(world, self._rows, arrays, self.new_items) if self.new_items and "lift" in arrays else None
            self._place()

    def renew(self, now: int) -> None:
        """Let the index do what is better done beside searches, and put the vectors of new items into it."""
        if self.search is not None:
            self.search.renew()
            self._place()

    def _place(self) -> None:
        found = self._new.changed() if self._new is not None else None
        if self.search is not None and found is not None and len(found[0]):
            self.search.put(*found)

    def fetch(self, query: Query, user: UserState, limit: int) -> Retrieved:
        """Return the items nearest to the folded-in history and the page's item."""
        if self.search is None or limit < 1:
            return NOTHING
        recent = asked_items(query, user, self._world, self.ask)
        taste = np.zeros(self._vectors.shape[1], np.float32)
        row_of, _ = self._rows.current()
        late_of, late = (_NOWHERE, _NONE) if self._new is None else self._new.placed()
        reason = _fold_in(recent, row_of, late_of, self._decay, self._vectors, late, self._solve, taste)
        if reason < 0:
            return NOTHING
        items, scores = self.search.nearest(taste, limit)
        return Retrieved(items, scores, np.full(len(items), reason, np.int32))
