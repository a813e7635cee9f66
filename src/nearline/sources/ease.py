"""EASE with order: a linear model, in closed form, of what comes after and what goes with what (Steck 2019, Choi 2021)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32
from nearline.schema.kernel import f4, f8, i4, i8, kernel
from nearline.sources.neighbours import Histories, NeighbourSource, strongest

LARGEST = 8_000
"""Items: four matrices of so many squared, 4 bytes each, are held while fitting (1 GB)."""
PAIRS = 1_000_000_000
"""Pairs of events counted at most; with more, a sample of visitors speaks for all."""
FAR = 400
"""Steps between two events of a visitor beyond which they do not count as a pair at all."""


@kernel(i4[::1], f4[::1], i8[::1], f8, f8, i8, f4[:, ::1], f4[:, ::1])
def _pairs(
    items: I32,
    values: F32,
    starts: NDArray[np.int64],
    fade: float,
    together: float,
    far: int,
    after: F32,
    beside: F32,
) -> None:
    """Add up each visitor's pairs of events, earlier by later item: once fading with the steps between, once evenly."""
    fading = np.empty(far, np.float32)
    weight = 1.0
    for lag in range(far):
        weight *= fade
        fading[lag] = weight if weight > 1e-4 else 0.0
    for user in range(len(starts) - 1):
        for first in range(starts[user], starts[user + 1]):
            item, value = items[first], values[first]
            for second in range(first + 1, min(starts[user + 1], first + 1 + far)):
                part, near = value * values[second], fading[second - first - 1]
                if near > 0.0:
                    after[item, items[second]] += near * part
                elif together == 0.0:
                    break
                beside[item, items[second]] += np.float32(together) * part


def _sampled(past: Histories, seed: int) -> Histories:
    lengths = np.diff(past.starts)
    pairs = np.minimum(lengths, FAR) * lengths
    if pairs.sum() <= PAIRS:
        return past
    order = np.random.default_rng(seed).permutation(len(lengths))
    kept = np.sort(order[np.cumsum(pairs[order]) <= PAIRS])
    chosen = np.zeros(len(lengths), np.bool_)
    chosen[kept] = True
    events = np.repeat(chosen, lengths)
    starts = np.concatenate(([0], np.cumsum(lengths[kept]))).astype(np.int64)
    return Histories(past.keys, starts, past.items[events], past.values[events])


class EaseSource(NeighbourSource):
    """What comes after the visitor's last items, and goes with them, once all other items are accounted for.

    EASE (Steck 2019) regresses each item on all others by G = XᵀX. Here what a visitor did l steps before an event explains it
    with the weight fadeˡ, and what he did at any time, before or after, with the weight `together` (SLIST, Choi et al. 2021):
    with C the pairs of earlier by later item and F those in any order, the model is (G + λI)⁻¹ (C + together F), where G is
    what it explains made symmetric, with the items' own sums on its diagonal. Only for catalogues of at most 8,000 touched
    items; the strongest entries of each row are kept, those against too.

    Args:
        quota: candidates at most.
        neighbours: how many entries each item keeps.
        regularization: λ, in events of mean weight.
        fade: what each further step between two events of a visitor leaves of their pair.
        together: what a pair counts however far apart, in either order; the greater, the closer to EASE itself.
        ask: how many of the last items to ask with.
        decay: weight of each further one.
    """

    name = "ease"
    largest = LARGEST

    def __init__(
        self,
        quota: int = 200,
        neighbours: int = 200,
        regularization: float = 300.0,
        fade: float = 0.8,
        together: float = 0.2,
        ask: int = 12,
        decay: float = 0.75,
    ) -> None:
        super().__init__(quota, ask, decay)
        self.neighbours, self.regularization, self.fade, self.together = neighbours, regularization, fade, together

    def learn(self, past: Histories, seed: int) -> tuple[I32, NDArray[np.float16]] | None:
        """Return the strongest entries of the model; nothing for a catalogue that is too large."""
        from scipy.linalg import cho_factor, cho_solve

        n = len(past.keys)
        if n > self.largest:
            return None
        past = _sampled(past, seed)
        after, beside = np.zeros((n, n), np.float32), np.zeros((n, n), np.float32)
        _pairs(past.items, past.values, past.starts, self.fade, self.together, FAR, after, beside)
        beside += beside.T
        own = (1.0 + self.together) * np.bincount(past.items, past.values**2, n)
        gram = after + after.T
        gram += beside
        gram[np.diag_indices(n)] += own + self.regularization
        after += beside
        factor: Any = cho_factor(gram, overwrite_a=True, check_finite=False)
        model: F32 = np.ascontiguousarray(cho_solve(factor, after, overwrite_b=True, check_finite=False), np.float32)
        np.fill_diagonal(model, 0.0)
        return strongest(model, self.neighbours)
