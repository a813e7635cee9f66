"""Suppressed: what the visitor bought, disliked or is done with leaves his lists, item or whole category."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nearline.features.suppression import SuppressionLists
from nearline.schema.candidates import I32, Candidates
from nearline.schema.components import UserState, World
from nearline.schema.kernel import b1, i4, i8, kernel, u4, u8
from nearline.schema.query import Query


@kernel(u8[::1], i8[::1], i8, i4[::1], i4[::1], u4[::1], i8, b1[::1])
def _drop(
    keys: NDArray[np.uint64],
    until: NDArray[np.int64],
    now: int,
    slots: I32,
    items: I32,
    category: NDArray[np.uint32],
    n_items: int,
    fine: NDArray[np.bool_],
) -> None:
    """Clear the flag of each candidate whose item or category is suppressed at `now`."""
    gone = np.zeros(n_items, np.uint8)
    categories, n = np.empty(len(keys), np.uint32), 0
    for j in range(len(keys)):
        if until[j] > now:
            if slots[j] >= 0:
                gone[slots[j]] = 1
            # Category keys have 32 bits, item keys 64: the rare item key below 2**32 would match no category in practice.
            if keys[j] < np.uint64(1 << 32):
                categories[n] = np.uint32(keys[j])
                n += 1
    for i in range(len(items)):
        # An item that came after `n_items` was read is in nobody's list yet.
        if items[i] < n_items and gone[items[i]]:
            fine[i] = False
        own = category[items[i]]
        for j in range(n):
            if categories[j] == own:
                fine[i] = False


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
        if len(keys):
            slots = self._world.item_slots(keys)
            _drop(keys, until, query.now, slots, candidates.items, self._world.columns.category, self._world.n_items, fine)
        return fine
