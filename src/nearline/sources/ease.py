"""EASE: a linear model of what goes with what, in closed form (Steck 2019), and of what comes after what."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32
from nearline.schema.kernel import f4, f8, i4, i8, kernel
from nearline.sources.neighbours import Histories, NeighbourSource, strongest

LARGEST = 8_000
"""Items: two matrices of so many squared, 4 bytes each, are held while fitting."""
PAIRS = 1_000_000_000
"""Pairs of events counted at most; with more, a sample of visitors speaks for all."""


@kernel(i4[::1], f4[::1], i8[::1], f8, i8, f4[:, ::1])
def _pairs(items: I32, values: F32, starts: NDArray[np.int64], fade: float, window: int, out: F32) -> None:
    """Add up each visitor's pairs of events, earlier item by later item, fading with the steps between them."""
    fading = np.empty(window, np.float32)
    weight = 1.0
    for lag in range(window):
        weight *= fade
        fading[lag] = weight
    for user in range(len(starts) - 1):
        for before in range(starts[user], starts[user + 1]):
            row, value = out[items[before]], values[before]
            for after in range(before + 1, min(starts[user + 1], before + 1 + window)):
                row[items[after]] += fading[after - before - 1] * value * values[after]


def _sampled(past: Histories, window: int, seed: int) -> Histories:
    lengths = np.diff(past.starts)
    pairs = np.minimum(lengths, window) * lengths
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
    """What goes with the visitor's last items after all other items are accounted for: co-occurrence without popularity.

    With X the visitors' weighted histories and P = (XᵀX + λI)⁻¹, what item i says of j is -Pᵢⱼ / Pⱼⱼ (Steck 2019). Only for
    catalogues of at most 8,000 touched items; the strongest entries of each row are kept, those against too.

    Args:
        quota: candidates at most.
        neighbours: how many entries each item keeps.
        regularization: λ.
        fade: what each further step between two events of a visitor leaves of their pair; 1 as in the paper.
        window: steps beyond which a pair does not count.
        ask: how many of the last items to ask with.
        decay: weight of each further one.
    """

    name = "ease"
    default = False
    largest = LARGEST
    template: ClassVar[str] = "Goes with {title}"

    def __init__(
        self,
        quota: int = 200,
        neighbours: int = 200,
        regularization: float = 200.0,
        fade: float = 1.0,
        window: int = 400,
        ask: int = 20,
        decay: float = 0.8,
    ) -> None:
        super().__init__(quota, ask, decay)
        self.neighbours, self.regularization, self.fade, self.window = neighbours, regularization, fade, window

    def learn(self, past: Histories, seed: int) -> tuple[I32, NDArray[np.float16]] | None:
        """Return the strongest entries of the model; nothing for a catalogue that is too large."""
        n = len(past.keys)
        if n > self.largest:
            return None
        past = _sampled(past, self.window, seed)
        pairs = np.zeros((n, n), np.float32)
        _pairs(past.items, past.values, past.starts, self.fade, self.window, pairs)
        gram = pairs + pairs.T
        gram[np.diag_indices(n)] += np.bincount(past.items, past.values**2, n) + self.regularization
        model = self.solved(gram, pairs)
        np.fill_diagonal(model, 0.0)
        return strongest(model, self.neighbours)

    def solved(self, gram: F32, pairs: F32) -> F32:
        """Return the model, `[n, n] float32`; both arguments may be overwritten.

        Args:
            gram: XᵀX + λI, `[n, n] float32`.
            pairs: its part above the diagonal of time: earlier item by later item, `[n, n] float32`.
        """
        from scipy.linalg import cho_factor, cho_solve

        pairs[:] = 0.0
        np.fill_diagonal(pairs, 1.0)
        inverse: F32 = cho_solve(cho_factor(gram, overwrite_a=True, check_finite=False), pairs, overwrite_b=True)
        return np.asarray(inverse / -np.diag(inverse), np.float32)


class NextEaseSource(EaseSource):
    """What comes after the visitor's last items: EASE's regression, with each event explained by those before it.

    A visitor's history before an event is x = Σ fadeˡ eᵢ over the items i he touched l steps earlier, y the event. The model
    is (XᵀX + λI)⁻¹ XᵀY (as SLIT, Choi et al. 2021): directed co-visitation, with what the other items explain taken out.

    Args:
        quota: candidates at most.
    """

    name = "next_ease"
    default = True
    template: ClassVar[str] = "Often after {title}"

    def __init__(
        self,
        quota: int = 200,
        neighbours: int = 200,
        regularization: float = 100.0,
        fade: float = 0.8,
        window: int = 40,
        ask: int = 20,
        decay: float = 0.75,
    ) -> None:
        super().__init__(quota, neighbours, regularization, fade, window, ask, decay)

    def solved(self, gram: F32, pairs: F32) -> F32:
        """Return the model, `[n, n] float32`; both arguments may be overwritten."""
        from scipy.linalg import cho_factor, cho_solve

        factor: Any = cho_factor(gram, overwrite_a=True, check_finite=False)
        return np.asarray(cho_solve(factor, pairs, overwrite_b=True), np.float32)
