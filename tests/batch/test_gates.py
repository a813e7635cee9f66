"""Gates say what is wrong, and what to do about it."""

from __future__ import annotations

import re

import numpy as np
import pytest

from nearline.batch.gates import teaching_gate
from nearline.schema.components import Examples


@pytest.mark.parametrize(
    ("labels", "passed", "says"),
    [
        ([], False, r"outcomes \(click, purchase\).*EventType\(.view., outcome=True\)"),
        ([0, 0], False, r"0 positives, 2 passed over; nobody did any of the outcomes"),
        ([1, 1], False, r"2 positives, 0 passed over$"),
        ([1, 0], True, r"1 positives, 1 passed over$"),
    ],
)
def test_a_training_set_that_teaches_nothing_is_refused_with_the_remedy(labels: list[int], passed: bool, says: str) -> None:
    y = np.array(labels, np.float32).reshape(-1, 1) * np.ones((1, 2), np.float32)
    columns = np.zeros((len(y), 1), np.float32), y, np.ones(len(y), np.float32), np.zeros(len(y), np.int32)
    gate = teaching_gate(Examples(*columns, ("one",), ("click", "purchase")))
    assert gate.passed == passed
    assert re.search(says, gate.reason)
