"""Cluster: what people of a like taste choose; centres found offline, the visitor's found with each of his events."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import svds

from nearline.features.history import HistoryFold
from nearline.features.popularity import PopularityFold, decayed
from nearline.schema.candidates import F32, I32, NOTHING, Retrieved
from nearline.schema.clock import SECOND
from nearline.schema.components import Arrays, FitData, Fold, Stateful, UserState, World
from nearline.schema.query import Query
from nearline.schema.top import best
from nearline.sources.asked import asked_items
from nearline.sources.neighbours import histories
from nearline.sources.row_map import RowMap
from nearline.sources.tally import first

ROUNDS = 25
SMOOTH = 20.0
"""Touches in a cluster that everyone's opinion of an item counts as much as."""
FLOOR = np.float32(1e-6)
"""Popularity of an item that nobody touched lately."""


class ClusterSource:
    """What is popular now among people of a like taste: everyone's popularity, times how much more his cluster chooses it.

    Items get vectors by truncated SVD of who touched what, each item's column made of length 1; a visitor's vector is that of
    his last items, faded, so it moves with each event. Centres are found by spherical k-means (Dhillon & Modha 2001) over
    everyone's last vectors. The list of the nearest centre is the visitor's: one order serves all who are there.

    Args:
        quota: candidates at most.
        clusters: centres; fewer where there are fewer than twenty people for each.
        dimensions: of the vectors.
        ask, decay: how many of the last items to go by, and the weight of each further one.
        half_life: hours, of popularity.
        refresh: ms for which one ordering serves a cluster.
        depth: how many items it keeps.
    """

    name = "cluster"
    family = "segment"
    surfaces = ("homepage", "email", "push", "search")
    reason: ClassVar[str] = "segment"
    template: ClassVar[str] = "Popular with visitors like you"
    default = False
    time_based = False
    _map: RowMap | None = None

    def __init__(
        self,
        quota: int = 50,
        clusters: int = 64,
        dimensions: int = 32,
        ask: int = 20,
        decay: float = 0.9,
        half_life: float = 24.0,
        refresh: int = 30 * SECOND,
        depth: int = 500,
    ) -> None:
        self.quota, self.clusters, self.dimensions, self.ask = quota, clusters, dimensions, ask
        self.half_life, self.refresh, self.depth = half_life, refresh, depth
        self.state: tuple[Stateful, ...] = ()
        self.folds: tuple[Fold, ...] = (HistoryFold(), PopularityFold())
        self._decay = (decay ** np.arange(ask)).astype(np.float32)

    def fit(self, data: FitData) -> Arrays:
        """Return `keys [n] uint64`, `vectors [n, d]`, `centres [c, d]` and `lifts [c, n]`, all float32; `{}` for too little."""
        past = histories(data)
        n, people = len(past.keys), len(past.starts) - 1
        if min(n, people) <= self.dimensions:
            return {}
        lengths = np.diff(past.starts)
        back = np.repeat(past.starts[1:], lengths) - 1 - np.arange(len(past.items))
        who = np.repeat(np.arange(people), lengths)
        touched = sparse.csr_matrix(((past.values > 0).astype(np.float32), (who, past.items)), (people, n))
        popular = np.asarray(touched.sum(axis=0)).ravel()
        scaled = touched @ sparse.diags_array((1.0 / np.sqrt(np.maximum(popular, 1.0))).astype(np.float32))
        start = np.random.default_rng(data.seed).standard_normal(min(people, n)).astype(np.float32)
        _, _, right = svds(scaled, self.dimensions, v0=start)
        vectors: F32 = np.ascontiguousarray(right.T, np.float32)
        near = back < self.ask
        asked = sparse.csr_matrix((self._decay[back[near]], (who[near], past.items[near])), (people, n))
        tastes = _unit(asked @ vectors)
        centres = _centres(tastes, max(1, min(self.clusters, people // 20)), data.seed)
        cluster = (tastes @ centres.T).argmax(axis=1)
        members = sparse.csr_matrix((np.ones(people, np.float32), (cluster, np.arange(people))), (len(centres), people))
        own = (members @ touched).toarray()
        share = popular / popular.sum()
        expected = own.sum(axis=1, keepdims=True) * share
        return {
            "keys": past.keys,
            "vectors": vectors,
            "centres": centres,
            "lifts": ((own + SMOOTH) / (expected + SMOOTH)).astype(np.float32),
        }

    def bind(self, world: World, arrays: Arrays) -> None:
        """Take the centres and lifts."""
        self._world, self._map = world, None
        self._orders: dict[int, tuple[int, Retrieved]] = {}
        if arrays:
            self._map = RowMap(world, arrays["keys"])
            self._vectors, self.centres, self._lifts = arrays["vectors"], arrays["centres"], arrays["lifts"]

    def cluster(self, query: Query, user: UserState) -> int:
        """Return the cluster of a visitor, -1 where he has nothing to go by."""
        if self._map is None:
            return -1
        recent = asked_items(query, user, self._world, self.ask)
        rows = self._rows(recent, self._map)
        weights = self._decay[: len(rows)][rows >= 0]
        if not len(weights):
            return -1
        return int((self.centres @ (weights @ self._vectors[rows[rows >= 0]])).argmax())

    def fetch(self, query: Query, user: UserState, limit: int) -> Retrieved:
        """Return the list of the visitor's cluster; nothing for who has touched nothing."""
        cluster = self.cluster(query, user)
        if cluster < 0:
            return NOTHING
        found = self.listed(cluster, query.now)
        return first(found, min(limit, len(found.items)))

    def listed(self, cluster: int, now: int) -> Retrieved:
        """Return a cluster's list, made anew where it is old."""
        at, found = self._orders.get(cluster, (-(1 << 62), NOTHING))
        if self._map is None or abs(now - at) < self.refresh:
            return found
        items = np.flatnonzero(self._world.columns.available).astype(np.int32)
        scores = decayed(self._world.rows["popularity"], items, now, (self.half_life,))[0] + FLOOR
        rows = self._rows(items, self._map)
        scores *= np.where(rows >= 0, self._lifts[cluster].take(rows, mode="clip"), np.float32(1.0))
        places = best(scores, self.depth)
        found = Retrieved(items[places], scores[places], np.full(len(places), -1, np.int32))
        self._orders[cluster] = now, found
        return found

    def _rows(self, slots: I32, known: RowMap) -> I32:
        """Return rows of the release's items, -1 for none; a slot may be newer than the map."""
        row_of = known.current()[0]
        return np.where(slots < len(row_of), row_of.take(slots, mode="clip"), np.int32(-1))


def _unit(vectors: NDArray[np.float32]) -> F32:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    out: F32 = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return out


def _centres(points: F32, k: int, seed: int) -> F32:
    """Return k centres of unit vectors, `[k, d] float32`; one that nobody is at begins again with who is farthest from his."""
    centres = points[np.random.default_rng(seed).choice(len(points), k, replace=False)]
    for _ in range(ROUNDS):
        near = points @ centres.T
        own, how_near = near.argmax(axis=1), near.max(axis=1)
        sums = sparse.csr_matrix((np.ones(len(own), np.float32), (own, np.arange(len(own)))), (k, len(own))) @ points
        empty = np.flatnonzero(np.bincount(own, minlength=k) == 0)
        sums[empty] = points[np.argsort(how_near)[: len(empty)]]
        centres = _unit(sums)
    return centres
