"""EASE with order: a linear model, in closed form, of what comes after and what goes with what (Steck 2019, Choi 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from nearline.schema.candidates import F32, I32
from nearline.schema.components import Arrays, FitData
from nearline.schema.kernel import f4, f8, i4, i8, kernel
from nearline.schema.span import Span
from nearline.sources.asked import ways
from nearline.sources.dense import packed
from nearline.sources.dense_source import DenseSource
from nearline.sources.item_order import by_parts, item_order
from nearline.sources.neighbours import histories, sampled

LARGEST = 8_000
"""Items: four matrices of so many squared, 4 bytes each, are held while fitting (1 GB)."""
PAIRS = 1_000_000_000
"""Pairs of events counted at most; with more, a sample of visitors speaks for all."""
FAR = 400
"""Steps between two events of a visitor beyond which they do not count as a pair at all."""


@kernel(i4[::1], i4[::1], i4[::1], f4[::1], f8, f8, i8, f4[:, ::1], f4[:, ::1])
def _pairs(
    events: I32, following: I32, items: I32, values: F32, fade: float, together: float, far: int, after: F32, beside: F32
) -> None:
    """Add up each visitor's pairs of events, earlier by later item: once fading with the steps between, once evenly.

    Args:
        events: the earlier ones, by item.
        following: how many events of its visitor come after an event.
    """
    fading = np.empty(far, np.float32)
    weight = 1.0
    for lag in range(far):
        weight *= fade
        fading[lag] = weight if weight > 1e-4 else 0.0
    for one in events:
        item, value = items[one], values[one]
        for second in range(one + 1, one + 1 + min(following[one], far)):
            part, near = value * values[second], fading[second - one - 1]
            if near > 0.0:
                after[item, items[second]] += near * part
            elif together == 0.0:
                break
            beside[item, items[second]] += np.float32(together) * part


class EaseSource(DenseSource):
    """What comes after the visitor's last items, and goes with them, once all other items are accounted for.

    EASE (Steck 2019) regresses each item on all others by G = XᵀX. Here what a visitor did l steps before an event explains it
    with the weight fadeˡ, and what he did at any time, before or after, with the weight `together` (SLIST, Choi et al. 2021):
    with C the pairs of earlier by later item and F those in any order, the model is (G + λI)⁻¹ (C + together F), where G is
    what it explains made symmetric, with the items' own sums on its diagonal. The whole model is kept, 2 bytes an entry, so
    it is for catalogues of at most 8,000 touched items only (128 MB).

    Of every candidate it tells what the last item says of it, what the last ones do, and what all that is kept of the
    visitor does.

    Args:
        quota: candidates at most.
        regularization: λ, in events of mean weight.
        fade: what each further step between two events of a visitor leaves of their pair.
        together: what a pair counts however far apart, in either order; the greater, the closer to EASE itself.
        ask: how many of the last items to ask with.
        decay: weight of each further one.
        long: the same where all that is kept of the visitor is asked with.
    """

    name = "ease"
    largest = LARGEST
    tells = ("last", "recent", "long")
    tunes: ClassVar[Mapping[str, Span]] = {
        "regularization": Span(30, 3000, log=True),
        "fade": Span(0.3, 0.95),
        "together": Span(0.02, 0.6, log=True),
        "decay": Span(0.5, 0.95),
        "long": Span(0.9, 0.99),
    }

    def __init__(
        self,
        quota: int = 200,
        regularization: float = 300.0,
        fade: float = 0.8,
        together: float = 0.2,
        ask: int = 12,
        decay: float = 0.75,
        long: float = 0.97,
    ) -> None:
        decays = ways(ask, decay, long)
        super().__init__(quota, decays[1:2, :ask], decays[:, None])
        self.regularization, self.fade, self.together = regularization, fade, together

    def fit(self, data: FitData) -> Arrays:
        """Return `keys [n] uint64`, `model [1, n, n] int16` and `units [1, n] float32`; `{}` for too little, or too much."""
        from scipy.linalg import cho_factor, cho_solve

        past = histories(data)
        n = len(past.keys)
        if n > self.largest:
            data.say(f"{self.name} left out: {n:,} items are touched, more than {self.largest:,}: slim learns them")
        if n < 2 or len(past.starts) < 2 or n > self.largest:
            return {}
        past = sampled(past, FAR, PAIRS, data.seed)
        after, beside = np.zeros((n, n), np.float32), np.zeros((n, n), np.float32)
        order = item_order(past)

        def act(events: I32) -> None:
            _pairs(events, order.after, past.items, past.values, self.fade, self.together, FAR, after, beside)

        by_parts(order, act)
        beside += beside.T
        own = (1.0 + self.together) * np.bincount(past.items, past.values**2, n)
        gram = after + after.T
        gram += beside
        gram[np.diag_indices(n)] += own + self.regularization
        after += beside
        factor: Any = cho_factor(gram, overwrite_a=True, check_finite=False)
        model: F32 = np.ascontiguousarray(cho_solve(factor, after, overwrite_b=True, check_finite=False), np.float32)
        np.fill_diagonal(model, 0.0)
        codes, units = packed(model[None])
        return {"keys": past.keys, "model": codes, "units": units}
