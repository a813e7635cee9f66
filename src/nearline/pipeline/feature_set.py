"""The application's features together: one matrix per request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from nearline.features.told import ToldFeature
from nearline.schema.candidates import F32
from nearline.schema.components import Feature, Fold, ItemFeature, ReadContext, Source


class FeatureSet:
    """Features with the rows of the matrix that each fills; those of the item alone come last, as one block.

    Args:
        features: in the order of their columns, but for the item features.

    Attributes:
        items_from: row of the matrix where the block begins.
    """

    def __init__(self, features: Sequence[Feature]) -> None:
        self.features: tuple[Feature, ...] = tuple(sorted(features, key=lambda feature: isinstance(feature, ItemFeature)))
        self.names: tuple[str, ...] = tuple(name for feature in self.features for name in feature.columns)
        ends = np.cumsum([len(feature.columns) for feature in self.features]).tolist()
        self.slices = tuple(slice(end - len(f.columns), end) for f, end in zip(self.features, ends, strict=True))
        self.items_from = sum(len(feature.columns) for feature in features if not isinstance(feature, ItemFeature))

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

    def of(self, sources: Sequence[Source]) -> FeatureSet:
        """Return the features with what sources tell told by these, which are bound to a release."""
        return FeatureSet([f.of(sources) if isinstance(f, ToldFeature) else f for f in self.features])

    def read(self, context: ReadContext) -> F32:
        """Return the matrix, `[n_features, n_candidates] float32`."""
        out = np.empty((len(self), len(context.candidates)), np.float32)
        for feature, rows in self:
            feature.read(context, out[rows])
        return out
