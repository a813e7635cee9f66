"""Teaching: the few candidates that are kept of a list stand for all of it."""

import numpy as np
import pytest

from nearline.batch.teaching import EACH, OCTAVE, octaves


@pytest.mark.parametrize("n", [0, 3, OCTAVE, OCTAVE + 1, 700])
def test_what_is_kept_of_a_list_stands_for_all_of_it(n: int) -> None:
    random = np.random.default_rng(3)
    order = random.permutation(n).astype(np.int32)
    place = np.argsort(order)
    worth = 1.0 / (1.0 + place)  # of each candidate, the best first: what a loss looks like
    sums = []
    for _ in range(400):
        kept, weight = octaves(order, random)
        assert len(set(kept.tolist())) == len(kept) == len(weight)
        assert weight.sum() == pytest.approx(n)
        assert len(kept) <= EACH * (1 + max(0.0, np.ceil(np.log2(max(1, n) / OCTAVE))))
        sums.append(worth[kept] @ weight)
    assert np.mean(sums) == pytest.approx(worth.sum(), rel=0.04)
    assert np.std(sums) <= 0.3 * worth.sum()
