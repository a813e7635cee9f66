"""Told: what a source says of every candidate, whoever found it."""

from __future__ import annotations

from collections.abc import Iterable

from nearline.schema.candidates import F32
from nearline.schema.components import Fold, ReadContext
from nearline.schema.telling import Telling


class ToldFeature:
    """The columns that a telling source has of all candidates.

    Args:
        source: who tells; the application's, or the one that is bound to a release.
    """

    folds: tuple[Fold, ...] = ()
    time_based = False

    def __init__(self, source: Telling) -> None:
        self._source = source
        self.name = f"{source.name}_told"
        self.columns: tuple[str, ...] = tuple(f"{source.name}_{word}" for word in source.tells)

    def of(self, sources: Iterable[object]) -> ToldFeature:
        """Return the feature as the source of the same name among others tells it; itself where there is none."""
        for source in sources:
            if isinstance(source, Telling) and source.name == self._source.name:
                return ToldFeature(source)
        return self

    def read(self, context: ReadContext, out: F32) -> None:
        """Fill `[n_tells, n] float32`."""
        self._source.tell(context.query, context.user, context.candidates.items, out)
