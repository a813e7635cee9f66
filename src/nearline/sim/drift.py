"""Tastes that drift: interests come and go, while their spread over people stays what it is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nearline.sim.people import People

_FORWARD, _BACKWARD = 9, 10


class Tastes:
    """Everybody's tastes on each day; those of the present (day 0) are `people.taste`.

    Each interest is a gamma process of first order: a day keeps a beta-distributed part of it and adds a gamma-distributed
    rest, so that every day has the same distribution (Lewis, McKenzie & Hugus, "Gamma processes", 1989). The process looks the
    same in both directions, and the past is drawn backwards from the present.

    Args:
        seed: of the world.
        people: whose.
        drift: share of an interest that is replaced within a week; 0 for tastes that stand still.
    """

    def __init__(self, seed: int, people: People, drift: float) -> None:
        self._seed, self._people, self._keep = seed, people, (1.0 - drift) ** (1 / 7)
        # Interests and shares by day: one chain into the future, one into the past.
        self._chains = {
            stream: ([people.interest], [people.taste]) for stream in (_FORWARD, _BACKWARD)
        }  # fmt: skip

    def at(self, day: int) -> NDArray[np.float32]:
        """Return the tastes of a day, counted from the present, `[n_users, n_leaves] float32`; rows sum to one."""
        if self._keep == 1.0:
            return self._people.taste
        stream = _FORWARD if day >= 0 else _BACKWARD
        interests, shares = self._chains[stream]
        while len(shares) <= abs(day):
            rng = np.random.default_rng([self._seed, stream, len(shares)])
            interest = self._next(rng, interests[0])
            interests[0] = interest
            shares.append((interest / interest.sum(axis=1, keepdims=True)).astype(np.float32))
        return shares[abs(day)]

    def _next(self, rng: np.random.Generator, interest: NDArray[np.float64]) -> NDArray[np.float64]:
        shape = np.broadcast_to(self._people.spread, interest.shape)
        kept = rng.beta(shape * self._keep, shape * (1 - self._keep))
        return np.asarray(kept * interest + rng.standard_gamma(shape * (1 - self._keep)) + 1e-9)
