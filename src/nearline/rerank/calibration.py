"""Calibration: a list has categories in the proportions of what its visitor chooses (Steck 2018)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nearline.features.history import recent_slots
from nearline.schema.candidates import F32, I32, Ranked
from nearline.schema.components import UserState, World
from nearline.schema.kernel import b1, f4, f8, i4, kernel, u4
from nearline.schema.query import Query

SMOOTH = 0.01
"""Share of the visitor's mix in the list's, so that a category the list lacks makes no infinite difference."""
KINDS = 64
"""Different categories that are told apart; what comes after counts as none."""


@kernel(i4[::1], f4[::1], i4[::1], u4[::1], b1[::1], f8, i4[::1])
def _calibrate(
    items: I32,
    scores: F32,
    recent: I32,
    top: NDArray[np.uint32],
    held: NDArray[np.bool_],
    trade: float,
    out: I32,
) -> None:
    """Fill `out` with the places of `len(held)` picks, then the others in order."""
    n, size = len(items), len(held)
    # Which categories there are, by place of the first seen: the visitor's own first.
    names = np.zeros(KINDS, np.uint32)
    own, kind = np.zeros(KINDS, np.float64), np.empty(n, np.int64)
    kinds, known = 1, 0  # kind 0: no category
    for i in range(len(recent) + n):
        name = top[recent[i]] if i < len(recent) else top[items[i - len(recent)]]
        found = 0
        if name != 0:
            for j in range(1, kinds):
                if names[j] == name:
                    found = j
                    break
            if found == 0 and kinds < KINDS:
                names[kinds] = name
                found = kinds
                kinds += 1
        if i >= len(recent):
            kind[i - len(recent)] = found
        elif found > 0:
            own[found] += 1.0
            known += 1
    low, high = scores[0], scores[0]
    for i in range(n):
        low, high = min(low, scores[i]), max(high, scores[i])
    spread = max(np.float64(high) - low, 1e-9)
    listed, taken = np.zeros(KINDS, np.float64), np.zeros(n, np.uint8)
    following = np.zeros(KINDS, np.int64)
    for j in range(kinds):
        own[j] /= known
        # The best item of each category that is not taken yet; -1 where none is left.
        following[j] = -1
    for i in range(n - 1, -1, -1):
        if i >= size or not held[i]:
            following[kind[i]] = i
        else:
            taken[i] = 1
    for k in range(size):
        best: int = -1
        most = -1e300
        if held[k]:
            best = k
        else:
            total = 0.0
            for j in range(1, kinds):
                if own[j] > 0.0:
                    total += own[j] * np.log(own[j] / ((1 - SMOOTH) * listed[j] / (k + 1) + SMOOTH * own[j]))
            for j in range(kinds):
                i = following[j]
                if i < 0:
                    continue
                far = total
                if own[j] > 0.0:
                    less = (1 - SMOOTH) * listed[j] / (k + 1) + SMOOTH * own[j]
                    far += own[j] * np.log(less / (less + (1 - SMOOTH) / (k + 1)))
                worth = (1.0 - trade) * ((scores[i] - low) / spread) - trade * far
                if worth > most:
                    best, most = i, worth
        out[k] = best
        taken[best] = 1
        own_kind = kind[best]
        listed[own_kind] += 1.0
        if not held[k]:
            following[own_kind] = -1
            for i in range(best + 1, n):
                if kind[i] == own_kind and not taken[i]:
                    following[own_kind] = i
                    break
    rest = size
    for i in range(n):
        if not taken[i]:
            out[rest] = i
            rest += 1


class CalibrationRule:
    """Brings the share of each top-level category in the list near its share among the visitor's last items.

    Greedy, place by place, over the head: the pick with the highest (1 - trade) * score - trade * KL(p | q), where p is the
    visitor's mix, q the list's with the pick in it, smoothed with a hundredth of p, and scores are scaled to 0..1 over the head
    (Steck, Calibrated recommendations, RecSys 2018). Whoever has too short a history gets the list as it is.

    Args:
        trade: 0 keeps the ranking, 1 looks at the mix alone.
        head: how many of the best are looked at.
        least: items of the history from which there is a mix to speak of.
    """

    name = "calibration"
    order = 60
    default = False

    def __init__(self, trade: float = 0.9, head: int = 200, least: int = 5) -> None:
        self.trade, self.head, self.least = trade, head, least

    def bind(self, world: World) -> None:
        """Read this world's categories and histories."""
        self._world = world

    def arrange(self, query: Query, user: UserState, ranked: Ranked, size: int) -> I32:
        """Return places of the head in the new order, `[min(head, n)] int32`."""
        n = min(self.head, len(ranked.scores))
        out = np.arange(n, dtype=np.int32)
        if n < 2 or self.trade <= 0 or "history" not in user.rows:
            return out
        recent, _ = recent_slots(user, self._world, 50)
        top = self._world.columns.top
        if np.count_nonzero(top.take(recent)) < self.least:
            return out
        size = min(size, n)
        held = np.zeros(size, np.bool_) if ranked.held is None else ranked.held[:size]
        scores = np.ascontiguousarray(ranked.scores[:n])
        _calibrate(np.ascontiguousarray(ranked.candidates.items[:n]), scores, recent, top, held, self.trade, out)
        return out
