"""Transitions: the next item regressed on the visitor's last ones and on his longer past, in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32
from nearline.schema.components import Arrays, FitData
from nearline.schema.kernel import f4, i4, i8, kernel
from nearline.schema.span import Span
from nearline.sources.dense import packed
from nearline.sources.dense_source import DenseSource
from nearline.sources.neighbours import histories, sampled

LARGEST = 5_000
"""Items: a matrix of twice as many squared, 4 bytes each, is held and factored while fitting (0.4 GB, half a minute)."""
PAIRS = 2_000_000_000
"""Products of a step with another counted at most; with more, a sample of visitors speaks for all."""


@kernel(i4[::1], f4[::1], i8[::1], f4[:, ::1], i8[::1], f4[:, ::1], f4[:, ::1])
def _moments(
    items: I32,
    values: F32,
    starts: NDArray[np.int64],
    decays: F32,
    widths: NDArray[np.int64],
    gram: F32,
    onward: F32,
) -> None:
    """Add up, over all events, the products of what came before them, and of that with the event itself.

    Args:
        items, values, starts: see `Histories`.
        decays: weight of each step back, by window, `[n_windows, longest] float32`.
        widths: steps of each window, `[n_windows] int64`.
        gram: `[n_windows n, n_windows n] float32`, its lower triangle is added to.
        onward: `[n_windows n, n] float32`, added to.
    """
    n = onward.shape[1]
    place, weight = np.empty(widths.sum(), np.int64), np.empty(widths.sum(), np.float32)
    for user in range(len(starts) - 1):
        for at in range(starts[user] + 1, starts[user + 1]):
            m = 0
            for window in range(len(widths)):
                for lag in range(min(at - starts[user], widths[window])):
                    before = at - 1 - lag
                    place[m] = window * n + items[before]
                    weight[m] = decays[window, lag] * values[before]
                    m += 1
            for one in range(m):
                row, own = place[one], weight[one]
                for other in range(m):
                    if place[other] <= row:
                        gram[row, place[other]] += own * weight[other]
                onward[row, items[at]] += own * values[at]


class TransitionSource(DenseSource):
    """What is touched next after such last items and such a longer past, by least squares over every step of everyone.

    Each event is regressed on two sums of what its visitor did before: his last `near` items, each further one counting
    `near_decay` of the one before, and his last `far` by `far_decay`, times `share`. With S both beside each other (a row an
    event) and T what followed, the models are (SᵀS + λI)⁻¹ SᵀT (SLIT, Choi et al. 2021, with a window of its own for what is
    recent). In contrast to `ease`, which goes by pairs whatever stands between them, this knows what of a transition the rest
    of the past explains already. Two whole models are kept, 4 bytes a pair: for catalogues of at most 5,000 touched items.

    Of every candidate it tells what both sums say together, and each by itself.

    Args:
        quota: candidates at most.
        regularization: λ, in events of mean weight.
        near, near_decay: steps of the near window, and what each further one counts.
        far, far_decay: the same of the far one.
        share: what its steps count beside the near ones.
    """

    name = "transitions"
    largest = LARGEST
    tells = ("next", "near", "far")
    tunes: ClassVar[Mapping[str, Span]] = {
        "regularization": Span(30, 3000, log=True),
        "near_decay": Span(0.2, 0.9),
        "far_decay": Span(0.8, 0.99),
        "share": Span(0.1, 1.0, log=True),
    }

    def __init__(
        self,
        quota: int = 200,
        regularization: float = 300.0,
        near: int = 3,
        near_decay: float = 0.5,
        far: int = 30,
        far_decay: float = 0.93,
        share: float = 0.4,
    ) -> None:
        decays = np.zeros((2, max(near, far)), np.float32)
        decays[0, :near] = near_decay ** np.arange(near)
        decays[1, :far] = share * far_decay ** np.arange(far)
        super().__init__(quota, decays, np.array([[1, 1], [1, 0], [0, 1]], np.float32)[..., None] * decays)
        self.regularization, self._widths = regularization, np.array([near, far], np.int64)

    def fit(self, data: FitData) -> Arrays:
        """Return `keys [n] uint64`, `model [2, n, n] int16` and `units [2, n] float32`; `{}` for too little, or too much."""
        from scipy.linalg import cho_factor, cho_solve

        past = histories(data)
        n = len(past.keys)
        if n > self.largest:
            data.say(f"{self.name} left out: {n:,} items are touched, more than {self.largest:,}")
        if n < 2 or len(past.starts) < 2 or n > self.largest:
            return {}
        steps = int(self._widths.sum())
        past = sampled(past, steps, PAIRS // steps, data.seed)
        gram, onward = np.zeros((2 * n, 2 * n), np.float32), np.zeros((2 * n, n), np.float32)
        _moments(past.items, past.values, past.starts, self._asked, self._widths, gram, onward)
        gram[np.diag_indices(2 * n)] += self.regularization
        # Transposed it is in LAPACK's order, and factored where it stands.
        factor: Any = cho_factor(gram.T, overwrite_a=True, check_finite=False)
        both: F32 = cho_solve(factor, onward, overwrite_b=True, check_finite=False)
        model = np.ascontiguousarray(both, np.float32).reshape(2, n, n)
        codes, units = packed(model)
        return {"keys": past.keys, "model": codes, "units": units}
