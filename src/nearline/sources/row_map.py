"""Which row of a release's arrays is which item of this process, kept as items come."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import I32
from nearline.schema.components import World
from nearline.schema.kernel import inline


@inline
def row_at(row_of: I32, slot: int) -> Any:
    """Return a slot's row, -1 for none; a slot may be newer than the map."""
    return row_of[slot] if slot < len(row_of) else np.int32(-1)


class RowMap:
    """Rows and slots, both ways.

    Args:
        world: whose slots.
        keys: of the release's rows, `[n] uint64`.
    """

    def __init__(self, world: World, keys: NDArray[np.uint64]) -> None:
        self._world, self._keys = world, keys
        self._map()

    def _map(self) -> None:
        n = self._world.n_items
        slots = self._world.item_slots(self._keys)
        known = slots >= 0
        row_of = np.full(n, -1, np.int32)
        row_of[slots[known]] = np.flatnonzero(known)
        # One assignment; a row without a slot is looked for again when items have come.
        self._mapped = row_of, slots, n if not known.all() else None

    def current(self) -> tuple[I32, I32]:
        """Return the row of each slot (`[n_slots]`, -1 for none) and the slot of each row (-1 where it never came here)."""
        if self._mapped[2] not in (None, self._world.n_items):
            self._map()
        return self._mapped[:2]
