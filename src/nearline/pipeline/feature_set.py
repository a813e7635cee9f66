"""The application's features together: one matrix per request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from nearline.schema.candidates import F32
from nearline.schema.components import Feature, Fold, ReadContext


class FeatureSet:
    """Features in order, with the rows of the matrix that each fills.

    Args:
        features: in the order of their columns.
    """

    def __init__(self, features: Sequence[Feature]) -> None:
        self.features = tuple(features)
        self.names: tuple[str, ...] = tuple(name for feature in features for name in feature.columns)
        ends = np.cumsum([len(feature.columns) for feature in features]).tolist()
        self.slices = tuple(slice(end - len(feature.columns), end) for feature, end in zip(features, ends, strict=True))

    def __len__(self) -> int:
        """Return the number of columns."""
        return len(self.names)

    def __iter__(self) -> Iterator[tuple[Feature, slice]]:
        """Yield each feature with its rows of the matrix."""
        return zip(self.features, self.slices, strict=True)

    @property
    def folds(self) -> tuple[Fold, ...]:
        """All folds that the features read; a name once."""
        return tuple({fold.name: fold for feature in self.features for fold in feature.folds}.values())

    def read(self, context: ReadContext) -> F32:
        """Return the matrix, `[n_features, n_candidates] float32`."""
        out = np.empty((len(self), len(context.candidates)), np.float32)
        for feature, rows in self:
            feature.read(context, out[rows])
        return out
