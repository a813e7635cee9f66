"""The best k equals a stable sort, whatever the scores look like."""

from __future__ import annotations

import numpy as np
import pytest

from nearline.schema.top import best


@pytest.mark.parametrize(("n", "k"), [(1, 1), (10, 3), (100, 200), (3000, 0), (5000, 100), (5000, 4000), (20000, 500)])
def test_best_is_the_head_of_a_stable_sort(n: int, k: int) -> None:
    random = np.random.default_rng(n + k)
    normal = random.normal(size=n)
    for kind in (
        normal,
        np.sort(normal),
        -np.sort(normal),
        random.integers(0, 5, n).astype(float),
        np.full(n, np.nan),
        normal * 1e-42,
        np.where(random.random(n) < 0.5, np.inf, 1.0),
    ):
        scores = kind.astype(np.float32)
        positive = np.flatnonzero(scores > 0)
        expected = positive[np.argsort(-scores[positive], kind="stable")][:k]
        assert best(scores, k).tolist() == expected.tolist()
