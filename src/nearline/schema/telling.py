"""What a source tells of every candidate, whoever found it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from nearline.schema.candidates import F32, I32
from nearline.schema.components import UserState
from nearline.schema.query import Query


@runtime_checkable
class Telling(Protocol):
    """A source that also has a say on what others found: columns for the ranker, beside its own score and rank.

    A score is known only of what a source retrieved itself, and is one number; what it tells is known of all candidates, and
    may look at the visitor in several ways (his very last item, his last ones, all that is kept of him).

    Attributes:
        tells: names of the columns; with the source's before them they are those of the features, as in `ease_last`.
    """

    name: str
    tells: tuple[str, ...]

    def tell(self, query: Query, user: UserState, items: I32, out: F32) -> None:
        """Fill `out`, `[n_tells, n] float32`, for items (slots, `[n] int32`); 0 where there is nothing to say."""
        ...
