"""Tallies against a dict, with the scratch as clean afterwards as before."""

from __future__ import annotations

import numpy as np
import pytest

from nearline.schema.candidates import F32, I32
from nearline.schema.kernel import f4, i4, kernel
from nearline.sources.tally import ROWS, room_for, scratch, take, tally


@kernel(i4[:, ::1], f4[:, ::1], i4[::1], i4[::1], i4[::1], f4[::1], i4[::1])
def _sum(items: I32, parts: F32, reasons: I32, memory: I32, out: I32, scores: F32, because: I32) -> int:
    n = 0
    for j in range(len(items)):
        n = tally(memory, n, items[j], parts[j], items.shape[1], j)
    return take(memory, n, reasons, out, scores, because)


@pytest.mark.parametrize(("n_items", "each", "limit"), [(1, 1, 5), (30, 20, 10), (500, 400, 40), (5000, 900, 5000)])
def test_sums_and_reasons_are_those_of_a_dict(n_items: int, each: int, limit: int) -> None:
    random = np.random.default_rng(n_items)
    memory = scratch(n_items)
    for _ in range(5):
        items = np.stack([random.permutation(n_items)[:each] for _ in range(7)]).astype(np.int32)
        # Small whole numbers, so that sums are exact and many parts are equal.
        parts = random.integers(1, 6, items.shape).astype(np.float32)
        reasons = random.integers(0, n_items, 7).astype(np.int32)
        total: dict[int, float] = {}
        lead: dict[int, tuple[float, int]] = {}
        for j in range(7):
            for item, part in zip(items[j].tolist(), parts[j].tolist(), strict=True):
                total[item] = total.get(item, 0.0) + part
                if part > lead.get(item, (0.0, -1))[0]:
                    lead[item] = part, j
        found = room_for(limit, n_items)
        count = _sum(items, parts, reasons, memory, found.items, found.scores, found.because)
        expected = sorted(total, key=lambda item: -total[item])[:limit]
        assert found.items[:count].tolist() == expected
        assert found.scores[:count].tolist() == [total[item] for item in expected]
        assert found.because[:count].tolist() == [reasons[lead[item][1]] for item in expected]
        room = len(memory) // ROWS
        assert not memory[:room].any()
        assert not memory[2 * room : 5 * room].any()
