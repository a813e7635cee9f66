"""What declared rules did to a list: counted by rule, for the metrics and the trace; and how kernels read their bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.schema.components import UserState
from nearline.schema.kernel import inline
from nearline.schema.rules import InForce

MEMO = "rule_effects"
"""Where a visitor's memo has the effects on his list, by rule."""
_DE_BRUIJN = 0x03F79D71B4CB0A89
_PLACES = np.zeros(64, np.uint8)
for _bit in range(64):
    _PLACES[((1 << _bit) * _DE_BRUIJN & (1 << 64) - 1) >> 58] = _bit


@inline
def lowest(word: Any) -> Any:
    """Return the place of the lowest bit that is set in a word that is not 0 (Leiserson et al. 1998)."""
    one = word & (~word + np.uint64(1))
    return _PLACES[(one * np.uint64(_DE_BRUIJN)) >> np.uint64(58)]


def note(user: UserState, force: InForce, hits: NDArray[np.int64]) -> None:
    """Add effects by place of the rule, `[n_rules] int64`, to those noted before."""
    touched = np.flatnonzero(hits)
    if len(touched):
        effects: dict[str, int] = user.memo.setdefault(MEMO, {})
        for place in touched.tolist():
            effects[force.names[place]] = effects.get(force.names[place], 0) + int(hits[place])
