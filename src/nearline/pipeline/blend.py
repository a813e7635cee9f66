"""Blend: the order of candidates that no ranker orders, by what share of its say each source gives to an item."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nearline.pipeline.ordering import ordered
from nearline.schema.candidates import F32, I32, Candidates
from nearline.schema.components import Source, UserState
from nearline.schema.kernel import b1, f4, kernel

FAMILIES = {
    "collaborative": (0.6, 0.6),
    "content": (0.3, 0.2),
    "intent": (4.8, 4.8),
    "personal": (0.6, 0.6),
    "preferences": (0.9, -0.9),
    "editorial": (0.9, 0.9),
    "segment": (0.3, 0.1),
    "popularity": (0.9, 0.2),
    "rules": (0.0, 0.0),
}
"""Weights of a source by its family, for who has touched nothing and for who has touched much; below 0 counts as 0.

Chosen on the validation parts of MovieTweetings, YooChoose and MovieLens (`benchmarks.cold_start --untrained`). What is merely
preferred gives way as soon as there are items to go by. What he asks for in words counts throughout, and more than all else.
What rules bring in says nothing of where it belongs.
"""
HALF = 3.0
"""Touched items at which the weights are half-way."""
DOUBT = 20.0
"""Co-visits, in all that a source found, whose word is half believed; a few may be chance."""


@kernel(f4[:, ::1], f4[:, ::1], f4[::1], b1[::1], f4[::1], f4[::1])
def _mix(scores: F32, ranks: F32, weights: F32, counted: NDArray[np.bool_], doubt: F32, out: F32) -> None:
    out[:] = 0.0
    for s in range(len(weights)):
        if counted[s]:
            total = np.float32(0.0)
            for i in range(len(out)):
                total += max(scores[i, s], np.float32(0.0))
            scale = weights[s] / max(total + doubt[s], np.float32(1e-9))
            for i in range(len(out)):
                out[i] += scale * max(scores[i, s], np.float32(0.0))
        else:
            # 1 / (5 + rank), of which the first hundred ranks make up three.
            scale = weights[s] / np.float32(3.0)
            for i in range(len(out)):
                out[i] += scale * ranks[i, s] / (np.float32(1.0) + np.float32(5.0) * ranks[i, s])


class Blend:
    """Sums over the sources: weight by how much is known of the visitor, times share of what the source says.

    A source says its `family`; one that says none is of the family "content". Where its scores are counts (`counted`), an
    item's share is its part of them, and co-visits count less where they are few. Else it goes by rank.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        families = [getattr(source, "family", "content") for source in sources]
        pairs = [FAMILIES.get(family, FAMILIES["content"]) for family in families]
        cold, warm = np.array(pairs, np.float32).reshape(-1, 2).T
        self._cold, self._more = cold, warm - cold
        self._counted = np.array([getattr(source, "counted", False) for source in sources], np.bool_)
        self._doubt = np.array([DOUBT if family == "collaborative" else 0.0 for family in families], np.float32)
        named = {source.name: family for source, family in zip(sources, families, strict=True)}
        self._own = {name for name, family in named.items() if family not in ("editorial", "segment", "popularity", "rules")}
        self._segment = {name for name, family in named.items() if family == "segment"}

    def weights(self, user: UserState) -> F32:
        """Return the weight of each source, `[n_sources] float32`."""
        touched = int(user.rows["history"]["count"][0]) if "history" in user.rows else 0
        out: F32 = np.maximum(self._cold + np.float32(touched / (touched + HALF)) * self._more, np.float32(0.0))
        return out

    def order(self, user: UserState, candidates: Candidates) -> I32:
        """Return the places of candidates, best first, `[n] int32`; equal ones as they stand."""
        mixed = np.empty(len(candidates), np.float32)
        _mix(candidates.retrieval, candidates.ranks, self.weights(user), self._counted, self._doubt, mixed)
        return ordered(mixed)

    def reach(self, sources: set[str]) -> str:
        """Return what the most personal of named sources goes by: personal, segment or popular."""
        if not sources.isdisjoint(self._own):
            return "personal"
        return "popular" if sources.isdisjoint(self._segment) else "segment"
