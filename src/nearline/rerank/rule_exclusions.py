"""Declared exclusions: what rules keep out of lists leaves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nearline.rerank.rule_effects import lowest, note
from nearline.schema.candidates import I32, Candidates
from nearline.schema.components import UserState, World
from nearline.schema.kernel import b1, i4, i8, kernel, u8
from nearline.schema.query import Query


@kernel(i4[::1], u8[:, ::1], u8[::1], b1[::1], i8[::1])
def _drop(
    items: I32, bits: NDArray[np.uint64], rules: NDArray[np.uint64], keep: NDArray[np.bool_], hits: NDArray[np.int64]
) -> None:
    """Clear the flag of each item that a rule is for; the first one is counted."""
    for i in range(len(items)):
        keep[i] = True
        # An item that came after the bits were made waits for the next ones.
        if items[i] < len(bits):
            for w in range(len(rules)):
                own = bits[items[i], w] & rules[w]
                if own and keep[i]:
                    keep[i] = False
                    hits[64 * w + lowest(own)] += 1


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
        force = self._world.rules.in_force(query, user.slot >= 0)
        return force is not None and force.exclude is not None

    def keep(self, query: Query, user: UserState, candidates: Candidates) -> NDArray[np.bool_]:
        """Return which candidates no rule excludes, `[n] bool`."""
        force = self._world.rules.in_force(query, user.slot >= 0)
        if force is None or force.exclude is None:
            return np.ones(len(candidates), np.bool_)
        keep, hits = np.empty(len(candidates), np.bool_), np.zeros(64 * len(force.exclude), np.int64)
        _drop(candidates.items, force.bits, force.exclude, keep, hits)
        note(user, force, hits)
        return keep
