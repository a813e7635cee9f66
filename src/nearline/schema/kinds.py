"""The application's event types as lookup tables, from names to the numbers of `EVENT`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nearline.schema.clock import DAY
from nearline.schema.event import ERASE, EventType, Role

FOREVER = np.int64(1) << 62
ERASED = 255
"""Place of the tombstone."""


class Kinds:
    """Event types by place; 0 is "unknown to the application", 255 the tombstone (both role none, weight 0).

    Attributes:
        types: as declared.
        names: name to place, from 1.
        weight: thousandths by place, `[256] int32`.
        role: `Role` by place, `[256] uint8`.
        suppress_item: ms for which the item leaves, 0 for not, by place, `[256] int64`.
        suppress_category: the same for the item's category.
        outcomes: places of the types to predict.
    """

    def __init__(self, types: Sequence[EventType]) -> None:
        self.types = tuple(types)
        self.names = {kind.name: place + 1 for place, kind in enumerate(self.types)} | {ERASE: ERASED}
        self.weight = np.zeros(256, np.int32)
        self.weight[1 : len(self.types) + 1] = [round(t.weight * 1000) for t in self.types]
        self.role = np.zeros(256, np.uint8)
        self.role[1 : len(self.types) + 1] = [int(Role[t.role.upper()]) for t in self.types]
        self.suppress_item = self._suppression("item")
        self.suppress_category = self._suppression("category")
        self.outcomes = tuple(place + 1 for place, t in enumerate(self.types) if t.outcome)

    def __len__(self) -> int:
        """Return the number of declared types."""
        return len(self.types)

    def place(self, name: str) -> int:
        """Return the place of a type, 0 when it is not declared."""
        return self.names.get(name, 0)

    def _suppression(self, scope: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        out = np.zeros(256, np.int64)
        for place, kind in enumerate(self.types):
            for rule in kind.suppresses:
                if rule.scope == scope:
                    out[place + 1] = FOREVER if rule.days is None else int(rule.days * DAY)
        return out
