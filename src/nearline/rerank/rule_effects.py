"""What declared rules did to a list: counted in arrays, named where it is asked for; and how kernels read their bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

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


@inline
def touched(items: Any, bits: Any, rules: Any, out: Any) -> Any:
    """Write the places of items that any of some rules is for, in order; return how many. It has no branch to guess wrong.

    Args:
        items: slots, `[n] int32`; one that came after the bits were made waits for the next ones.
        bits: rules by item, `[n_slots, words] uint64`.
        rules: which, `[words] uint64`.
        out: `[n + 1] int32`.
    """
    low, high = 0, len(rules)
    while low < high and rules[low] == 0:
        low += 1
    while low < high and rules[high - 1] == 0:
        high -= 1
    n = 0
    for i in range(len(items)):
        known = items[i] < len(bits)
        slot = items[i] if known else 0
        any_ = np.uint64(0)
        for w in range(low, high if len(bits) else low):
            any_ |= bits[slot, w] & rules[w]
        out[n] = i
        n += known & (any_ != 0)
    return n


class Effects(NamedTuple):
    """Effects by place of the rule.

    Attributes:
        names: of the rules, by place.
        hits: `[n] int64`, at least as many as names.
    """

    names: tuple[str, ...]
    hits: NDArray[np.int64]


def hits(user: UserState, force: InForce) -> NDArray[np.int64]:
    """Return where kernels count what rules do to a visitor's list, by place of the rule, `[64 words] int64`."""
    effects: list[Effects] = user.memo.setdefault(MEMO, [])
    # The rules may have been made anew since the step before.
    if not effects or effects[-1].names is not force.names:
        effects.append(Effects(force.names, np.zeros(64 * force.bits.shape[1], np.int64)))
    return effects[-1].hits


def counted(user: UserState | None) -> Sequence[Effects]:
    """Return what rules did to a visitor's list."""
    return () if user is None else user.memo.get(MEMO, ())


def by_name(user: UserState | None) -> dict[str, int]:
    """Return how often each rule did something to a visitor's list; those that did nothing are left out."""
    found: dict[str, int] = {}
    for names, own in counted(user):
        for place in np.flatnonzero(own).tolist():
            found[names[place]] = found.get(names[place], 0) + int(own[place])
    return found
