"""What a network sees of features: heavy tails folded, scaled and clipped, 0 for missing, and flags of what is missing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nearline.models.graph import Graph
from nearline.rankers.linear import describe
from nearline.schema.candidates import F32

CLIP = 5.0
_SELDOM = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Scaling:
    """How each feature is scaled; the same in NumPy for training and as part of the graph for serving.

    A feature with a heavy tail becomes `sign(x) log(1 + |x| / tail)` first, which is linear near 0 and logarithmic far out.

    Attributes:
        tail: `[n_features] float32`, 0 where nothing is folded.
        mean, deviation: after that, `[n_features] float32`.
        flagged: features that are sometimes missing and sometimes not, `[n_flags] int64`.
    """

    tail: F32
    mean: F32
    deviation: F32
    flagged: NDArray[np.int64]

    @property
    def width(self) -> int:
        """Inputs of the network."""
        return len(self.tail) + len(self.flagged)

    @classmethod
    def of(cls, x: F32) -> Scaling:
        """Return the scaling that training rows (`[n, n_features] float32`, NaN missing) ask for."""
        tail = np.array([describe(column)[2] for column in np.ascontiguousarray(x.T)], np.float32)
        folded, absent = _folded(x, tail), np.isnan(x)
        there = ~np.isfinite(x)
        counted = np.maximum((~there).sum(0), 1)
        mean = np.where(there, 0, folded).sum(0, dtype=np.float64) / counted
        deviation = np.sqrt((np.where(there, 0, folded - mean) ** 2).sum(0, dtype=np.float64) / counted)
        deviation[deviation <= 1e-6 * (1 + np.abs(mean))] = 1.0
        share = absent.mean(0)
        flagged = np.flatnonzero((share > _SELDOM) & (share < 1 - _SELDOM))
        return cls(tail, mean.astype(np.float32), deviation.astype(np.float32), flagged.astype(np.int64))

    def apply(self, x: F32) -> F32:
        """Return `[n, width] float32` for `[n, n_features] float32`."""
        absent = np.isnan(x)
        z = np.clip((_folded(x, self.tail) - self.mean) / self.deviation, -CLIP, CLIP)
        return np.concatenate([np.where(absent, 0, z), absent[:, self.flagged]], axis=1).astype(np.float32)

    def put(self, graph: Graph, columns: str) -> str:
        """Add to a graph what makes `[n, width]` of columns `[n_features, n]`."""
        absent = graph.node("IsNaN", columns)
        zero, one = graph.weight(np.float32(0.0)), graph.weight(np.float32(1.0))
        z = graph.node("Where", absent, zero, columns)
        tailed = np.flatnonzero(self.tail)
        if len(tailed):
            own = graph.node("Gather", z, graph.integers(*tailed), axis=0)
            size = graph.node("Div", graph.node("Abs", own), graph.weight(self.tail[tailed, None]))
            folded = graph.multiply(graph.node("Sign", own), graph.node("Log", graph.add(size, one)))
            z = graph.concat(z, folded, axis=0)
            order = np.arange(len(self.tail))
            order[tailed] = len(self.tail) + np.arange(len(tailed))
            z = graph.node("Gather", z, graph.integers(*order), axis=0)
        z = graph.node("Div", graph.node("Sub", z, graph.weight(self.mean[:, None])), graph.weight(self.deviation[:, None]))
        z = graph.node("Clip", z, graph.weight(np.float32(-CLIP)), graph.weight(np.float32(CLIP)))
        z = graph.node("Where", absent, zero, z)
        if len(self.flagged):
            flags = graph.node("Gather", absent, graph.integers(*self.flagged), axis=0)
            z = graph.concat(z, graph.node("Cast", flags, to=1), axis=0)  # 1 is float32
        return graph.transpose(z, 1, 0)


def _folded(x: F32, tail: F32) -> NDArray[np.float32]:
    by = np.where(tail > 0, tail, np.float32(1.0))
    return np.where(tail > 0, np.sign(x) * np.log1p(np.abs(x) / by), x).astype(np.float32)
