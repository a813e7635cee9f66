"""Transitions: the next item regressed on the visitor's last ones and on his longer past, in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from nearline.schema.candidates import F32, I32
from nearline.schema.components import Arrays, FitData
from nearline.schema.kernel import f4, i4, kernel
from nearline.schema.span import Span
from nearline.sources.dense import packed
from nearline.sources.dense_source import DenseSource
from nearline.sources.item_order import by_parts, item_order
from nearline.sources.neighbours import histories, sampled

LARGEST = 5_000
"""Items: a matrix of twice as many squared, 4 bytes each, is held and factored while fitting (0.4 GB, half a minute)."""
PAIRS = 1_000_000_000
"""Pairs of events counted at most; with more, a sample of visitors speaks for all."""


def _overlaps(decays: F32) -> F32:
    """Return what two events come to in all sums that hold both, `[n_windows, n_windows, longest, longest + 1] float32`.

    By the window of the older one, that of the newer one, how many steps lie between them, and how many events come after
    the newer one: Σ decays[w, l + steps] decays[v, l] over as many steps l.
    """
    n, longest = decays.shape
    out = np.zeros((n, n, longest, longest + 1), np.float32)
    for steps in range(longest):
        older, newer = decays[:, steps:], decays[:, : longest - steps]
        held = np.cumsum(older[:, None] * newer[None], axis=2)
        out[:, :, steps, 1 : longest - steps + 1] = held
        out[:, :, steps, longest - steps + 1 :] = held[..., -1:]
    return out


@kernel(i4[::1], i4[::1], i4[::1], i4[::1], f4[::1], f4[:, ::1], f4[:, :, :, ::1], f4[:, ::1], f4[:, ::1])
def _moments(
    events: I32,
    before: I32,
    after: I32,
    items: I32,
    values: F32,
    decays: F32,
    overlaps: F32,
    products: F32,
    onward: F32,
) -> None:
    """Add up, over all events, the products of what came before them, and of that with the event itself.

    A pair of events is in the sums of all that follow both: what these come to is added at once.

    Args:
        events, before, after: those to add, by item; see `ItemOrder`.
        items, values: see `Histories`.
        decays: weight of each step back, by window, `[n_windows, longest] float32`.
        overlaps: see `_overlaps`.
        products: half of what is symmetric, `[n_windows n, n_windows n] float32`: a row for the newer of two events.
        onward: by the event and what came before it, `[n, n_windows n] float32`.
    """
    n, (windows, longest) = len(onward), decays.shape
    for newer in events:
        item, value = items[newer], values[newer]
        last = min(after[newer], longest)
        for steps in range(min(before[newer], longest) + 1):
            older = newer - steps
            both = value * values[older]
            for w in range(windows):
                column = w * n + items[older]
                if steps > 0:
                    onward[item, column] += both * decays[w, steps - 1]
                if steps < longest:
                    part = both if steps > 0 else np.float32(0.5) * both
                    for v in range(windows):
                        products[v * n + item, column] += part * overlaps[w, v, steps, last]


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
        far: int = 50,
        far_decay: float = 0.95,
        share: float = 0.4,
    ) -> None:
        decays = np.zeros((2, max(near, far)), np.float32)
        decays[0, :near] = near_decay ** np.arange(near)
        decays[1, :far] = share * far_decay ** np.arange(far)
        super().__init__(quota, decays, np.array([[1, 1], [1, 0], [0, 1]], np.float32)[..., None] * decays)
        self.regularization = regularization

    def fit(self, data: FitData) -> Arrays:
        """Return `keys [n] uint64`, `model [2, n, n] int16` and `units [2, n] float32`; `{}` for too little, or too much."""
        from scipy.linalg import cho_factor, cho_solve

        past = histories(data)
        n = len(past.keys)
        if n > self.largest:
            data.say(f"{self.name} left out: {n:,} items are touched, more than {self.largest:,}")
        if n < 2 or len(past.starts) < 2 or n > self.largest:
            return {}
        past = sampled(past, self._asked.shape[1], PAIRS, data.seed)
        gram, onward = np.zeros((2 * n, 2 * n), np.float32), np.zeros((n, 2 * n), np.float32)
        order, overlaps = item_order(past), _overlaps(self._asked)

        def act(events: I32) -> None:
            _moments(events, order.before, order.after, past.items, past.values, self._asked, overlaps, gram, onward)

        by_parts(order, act)
        gram += gram.T
        gram[np.diag_indices(2 * n)] += self.regularization
        # Transposed they are in LAPACK's order, and overwritten where they stand.
        factor: Any = cho_factor(gram.T, overwrite_a=True, check_finite=False)
        both: F32 = cho_solve(factor, onward.T, overwrite_b=True, check_finite=False)
        model = np.ascontiguousarray(both, np.float32).reshape(2, n, n)
        codes, units = packed(model)
        return {"keys": past.keys, "model": codes, "units": units}
