"""Declared exclusions: what rules keep out of lists leaves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nearline.rerank.rule_effects import hits, lowest, touched
from nearline.schema.candidates import I32, Candidates
from nearline.schema.components import UserState, World
from nearline.schema.kernel import b1, i4, i8, kernel, u8
from nearline.schema.query import Query
from nearline.schema.rules import InForce


@kernel(i4[::1], u8[:, ::1], u8[::1], b1[::1], i8[::1])
def _drop(
    items: I32, bits: NDArray[np.uint64], rules: NDArray[np.uint64], keep: NDArray[np.bool_], done: NDArray[np.int64]
) -> None:
    """Clear the flag of each item that a rule is for; the first one is counted."""
    keep[:] = True
    places = np.empty(len(items) + 1, np.int32)
    for i in places[: touched(items, bits, rules, places)]:
        keep[i] = False
        for w in range(len(rules)):
            own = bits[items[i], w] & rules[w]
            if own:
                done[64 * w + lowest(own)] += 1
                break


class RuleExclusions:
    """Drops the items that declared rules exclude."""

    name = "rule_exclusions"
    essential = True
    always = True

    def bind(self, world: World) -> None:
        """Read this world's rules."""
        self._world = world

    def wanted(self, query: Query, user: UserState) -> bool:
        """Return whether a rule in force excludes anything."""
        return self._force(query, user) is not None

    def keep(self, query: Query, user: UserState, candidates: Candidates) -> NDArray[np.bool_]:
        """Return which candidates no rule excludes, `[n] bool`."""
        force = self._force(query, user)
        if force is None or force.exclude is None:
            return np.ones(len(candidates), np.bool_)
        keep = np.empty(len(candidates), np.bool_)
        _drop(candidates.items, force.bits, force.exclude, keep, hits(user, force))
        return keep

    def _force(self, query: Query, user: UserState) -> InForce | None:
        force = self._world.rules.in_force(query, user.slot >= 0)
        return None if force is None or force.exclude is None else force
