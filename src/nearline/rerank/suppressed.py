"""Suppressed: what the visitor bought, disliked or is done with leaves his lists, item or whole category."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nearline.features.suppression import SuppressionLists
from nearline.schema.candidates import Candidates
from nearline.schema.components import UserState, World
from nearline.schema.query import Query


class SuppressedFilter:
    """Drops items, and items of categories, that the visitor's events suppress at `now`.

    The application's event types say what suppresses what and for how long: after a washing machine, none.
    """

    name = "suppressed"
    essential = True

    def bind(self, world: World) -> None:
        """Read this world's suppression lists."""
        self._world = world
        lists = world.parts.get("suppression")
        self._lists = lists if isinstance(lists, SuppressionLists) else None

    def slack(self, user: UserState) -> int:
        """Return how many candidates this filter may drop for a visitor: sources are asked for so many more."""
        return len(self._lists.of(user.slot)[0]) if self._lists is not None and user.slot >= 0 else 0

    def keep(self, query: Query, user: UserState, candidates: Candidates) -> NDArray[np.bool_]:
        """Return which candidates are not suppressed, `[n] bool`."""
        fine = np.ones(len(candidates), np.bool_)
        if self._lists is None or user.slot < 0:
            return fine
        keys, until = self._lists.of(user.slot)
        keys = keys[until > query.now]
        if not len(keys):
            return fine
        slots = self._world.item_slots(keys)
        gone = np.zeros(self._world.n_items + 1, np.bool_)
        gone[slots] = True
        gone[-1] = False
        fine = ~gone[candidates.items]
        # Category keys have 32 bits, item keys 64: the rare item key below 2**32 would match no category in practice.
        categories = keys[keys < (1 << 32)].astype(np.uint32)
        if len(categories):
            fine &= ~np.isin(self._world.columns.category[candidates.items], categories)
        return fine
