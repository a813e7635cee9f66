"""Interactions: who touched what, and how much in all; what factorisation learns from, on every engine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nearline.schema.event import Events, Role

HELD = 1 << 18
"""Rows that are held before they are added up, at least."""

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]


class PairSums:
    """Whole numbers added up by pairs of keys. Memory follows the pairs, not what was added to them; order changes nothing."""

    def __init__(self) -> None:
        self._held: list[tuple[U64, U64, I64]] = []
        self._compact = 0

    def add(self, first: U64, second: U64, values: I64) -> None:
        """Add values, `[n] int64`, each to its pair of keys, `[n] uint64` twice."""
        self._held.append((first.astype(np.uint64), second.astype(np.uint64), values.astype(np.int64)))
        if sum(len(values) for _, _, values in self._held) > 2 * self._compact + HELD:
            self.sums()

    def drop(self, first: U64) -> None:
        """Forget all pairs that begin with one of these keys."""
        if len(first):
            kept = [~np.isin(held[0], first) for held in self._held]
            self._held = [(a[fine], b[fine], c[fine]) for (a, b, c), fine in zip(self._held, kept, strict=True)]

    def sums(self) -> tuple[U64, U64, I64]:
        """Return the pairs in order, `[n] uint64` twice, and the sum of each, `[n] int64`."""
        empty = np.zeros(0, np.uint64)
        parts = self._held or [(empty, empty, np.zeros(0, np.int64))]
        first, second, values = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        order = np.lexsort((second, first))
        first, second, values = first[order], second[order], values[order]
        new = np.ones(len(order), np.bool_)
        new[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
        begins = np.flatnonzero(new)
        totals: I64 = np.add.reduceat(values, begins) if len(begins) else values
        self._held, self._compact = [(first[begins], second[begins], totals)], len(begins)
        return self._held[0]


def touching(events: Events) -> NDArray[np.bool_]:
    """Return which events say that their visitor wants the item, `[n] bool`: views to conversions of a weight above nothing."""
    fine = (events["item"] != 0) & (events["weight"] > 0)
    return np.asarray(fine & (events["role"] >= Role.VIEW) & (events["role"] <= Role.CONVERSION), np.bool_)


def drawn(visitors: U64, share: float, seed: int) -> NDArray[np.bool_]:
    """Return which visitors are in a sample of a share of them, `[n] bool`: by key, so on every engine and day the same."""
    if share >= 1.0:
        return np.ones(len(visitors), np.bool_)
    mixed = (visitors ^ np.uint64(seed)) * np.uint64(0x9E3779B97F4A7C15)
    return np.asarray((mixed >> np.uint64(11)).astype(np.float64) < share * 2.0**53, np.bool_)


def confidence(thousandths: I64) -> NDArray[np.float32]:
    """Return log(1 + weight) of sums of weights, `[n] float32`."""
    return np.log1p(thousandths / 1000.0).astype(np.float32)
