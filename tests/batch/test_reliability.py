"""Reliability: what is right on average over each height is calibrated, whatever the ranks; what is not is told by how much."""

import numpy as np
import pytest

from nearline.batch.reliability import reliability
from nearline.schema.errors import NearlineError


def test_calibrated_predictions_have_no_error_and_others_theirs() -> None:
    random = np.random.default_rng(0)
    p = random.beta(1, 30, 200_000)
    y = random.random(len(p)) < p
    right = reliability(p, y)
    assert right.error < 0.002
    assert right.predicted == pytest.approx(right.happened, rel=0.03)
    assert [one.weight for one in right.bins] == pytest.approx([len(p) / 15] * 15, abs=2)
    heights = [one.predicted for one in right.bins]
    assert heights == sorted(heights)
    double = reliability(np.minimum(2 * p, 1), y)
    assert double.error == pytest.approx(p.mean(), rel=0.05)
    assert double.relative == pytest.approx(1.0, abs=0.1)
    # The mean alone is right here, and each half wrong.
    halves = np.where(np.arange(1000) % 2, 0.1, 0.3)
    same = reliability(halves, np.arange(1000) % 10 < 2)
    assert [(round(one.predicted, 6), one.happened) for one in same.bins] == [(0.1, 0.2), (0.3, 0.2)]
    assert [same.predicted, same.error] == pytest.approx([0.2, 0.1])


def test_a_row_of_weight_three_is_three_rows_and_equal_predictions_share_a_bin() -> None:
    p, y, w = np.array([0.1, 0.1, 0.4, 0.9]), np.array([0, 1, 0, 1]), np.array([3.0, 1, 1, 2])
    copies = np.repeat(np.arange(4), w.astype(int))
    assert reliability(p, y, w, 4) == reliability(p[copies], y[copies], bins=4)
    assert [one.weight for one in reliability(p, y, w, 4).bins] == [4, 3]
    for wrong in (([], [], None), ([0.1], [0, 1], None), ([0.1], [0], [0.0])):
        with pytest.raises(NearlineError, match="predicted"):
            reliability(*wrong)
