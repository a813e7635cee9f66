"""Declared boosts: scores multiplied or divided by the factors of rules."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nearline.rerank.rule_effects import hits, lowest, touched
from nearline.schema.candidates import F32, I32, Candidates
from nearline.schema.components import UserState, World
from nearline.schema.kernel import f4, i4, i8, kernel, u8
from nearline.schema.query import Query
from nearline.schema.rules import InForce

SUNK = np.float32(-1e29)
"""Scores below it are no scores: such items stay last."""
MOST = np.float32(1e9)
"""Product of factors at most, and one over it at least."""


@kernel(i4[::1], f4[::1], u8[:, ::1], u8[::1], f4[::1], f4[::1], i8[::1])
def _adjust(
    items: I32,
    scores: F32,
    bits: NDArray[np.uint64],
    rules: NDArray[np.uint64],
    factors: F32,
    out: F32,
    done: NDArray[np.int64],
) -> bool:
    """Write the new scores; return whether any is another."""
    out[:] = scores
    places, any_ = np.empty(len(items) + 1, np.int32), False
    for i in places[: touched(items, bits, rules, places)]:
        if scores[i] < SUNK:
            continue
        factor = np.float32(1.0)
        for w in range(len(rules)):
            own = bits[items[i], w] & rules[w]
            while own:
                place = 64 * w + lowest(own)
                factor = min(MOST, max(np.float32(1.0) / MOST, factor * factors[place]))
                done[place] += 1
                any_ = True
                own &= own - np.uint64(1)
        # A negative score is raised by what makes it smaller in size.
        out[i] = scores[i] * factor if scores[i] >= 0 else scores[i] / factor
    return any_


class RuleBoosts:
    """Multiplies or divides the scores of items as declared rules say; several factors multiply."""

    name = "rule_boosts"
    always = True

    def bind(self, world: World) -> None:
        """Read this world's rules."""
        self._world = world

    def wanted(self, query: Query, user: UserState) -> bool:
        """Return whether a rule in force boosts or buries anything."""
        return self._force(query, user) is not None

    def adjust(self, query: Query, user: UserState, candidates: Candidates, scores: F32) -> F32:
        """Return the new scores, `[n] float32`."""
        force = self._force(query, user)
        if force is None or force.adjust is None:
            return scores
        own, out = np.ascontiguousarray(scores), np.empty(len(scores), np.float32)
        changed = _adjust(candidates.items, own, force.bits, force.adjust, force.factors, out, hits(user, force))
        return out if changed else scores

    def _force(self, query: Query, user: UserState) -> InForce | None:
        force = self._world.rules.in_force(query, user.slot >= 0)
        return None if force is None or force.adjust is None else force
