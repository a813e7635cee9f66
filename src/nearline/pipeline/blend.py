"""Blend: how much each source's ranking counts where no ranker orders the candidates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nearline.schema.candidates import F32
from nearline.schema.components import Source, UserState

FAMILIES = {
    "collaborative": (0.6, 0.6),
    "content": (0.9, 0.3),
    "intent": (2.4, 2.4),
    "personal": (0.3, 0.3),
    "preferences": (0.9, -0.9),
    "editorial": (0.6, 0.6),
    "segment": (0.9, 0.3),
    "popularity": (0.9, 0.3),
    "rules": (0.0, 0.0),
}
"""Weights of a source by its family, for who has touched nothing and for who has touched much; below 0 counts as 0.

Chosen on the validation part of MovieTweetings (`benchmarks.cold_start`): a collaborative source that has anything to say after
one event is worth hearing, and popularity fades slowly. What is merely preferred gives way as soon as there are items to go by.
What he asks for in words counts throughout, and more than what trends and his segment say together. What rules bring in says
nothing of where it belongs.
"""
HALF = 3.0
"""Touched items at which the weights are half-way."""


class Blend:
    """Weights of sources for reciprocal rank fusion, by how much is known of the visitor.

    A source says its `family`; one that says none is of the family "content".
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        families = [getattr(source, "family", "content") for source in sources]
        pairs = [FAMILIES.get(family, FAMILIES["content"]) for family in families]
        cold, warm = np.array(pairs, np.float32).reshape(-1, 2).T
        self._cold, self._more = cold, warm - cold
        named = {source.name: family for source, family in zip(sources, families, strict=True)}
        self._own = {name for name, family in named.items() if family not in ("editorial", "segment", "popularity", "rules")}
        self._segment = {name for name, family in named.items() if family == "segment"}

    def weights(self, user: UserState) -> F32:
        """Return the weight of each source, `[n_sources] float32`."""
        touched = int(user.rows["history"]["count"][0]) if "history" in user.rows else 0
        out: F32 = np.maximum(self._cold + np.float32(touched / (touched + HALF)) * self._more, np.float32(0.0))
        return out

    def reach(self, sources: set[str]) -> str:
        """Return what the most personal of named sources goes by: personal, segment or popular."""
        if not sources.isdisjoint(self._own):
            return "personal"
        return "popular" if sources.isdisjoint(self._segment) else "segment"
