"""The application's event types as lookup tables, from names to the numbers of `EVENT`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nearline.schema.clock import DAY
from nearline.schema.event import CARRIED, ERASE, EventType, Role
from nearline.schema.profile import INTEREST, PROFILE

FOREVER = np.int64(1) << 62
ERASED = 255
"""Place of the tombstone."""
RESERVED = {name: 240 + place for place, name in enumerate((*PROFILE, INTEREST))} | {ERASE: ERASED}
"""Places of Nearline's own types; an application's stay below 240."""
OWN = 256
"""Added to the code of a type whose event is carried: only its visitor's own rows take it."""


class Kinds:
    """Event types by place; 0 is "unknown to the application", 255 the tombstone (both role none, weight 0).

    Profile attributes weigh nothing, an interest as much as the strongest click or intent of the application.

    Attributes:
        types: as declared.
        names: name to place, from 1.
        codes: the same and, with `OWN` added, the carried ones.
        weight: thousandths by place, `[256] int32`.
        role: `Role` by place, `[256] uint8`.
        suppress_item: ms for which the item leaves, 0 for not, by place, `[256] int64`.
        suppress_category: the same for the item's category.
        outcomes: places of the types to predict.
        full_dwell: ms of dwell that are a whole outcome, by place in `outcomes`; 0 where any is.
    """

    def __init__(self, types: Sequence[EventType]) -> None:
        self.types = tuple(types)
        self.names = {kind.name: place + 1 for place, kind in enumerate(self.types)} | RESERVED
        carried = {CARRIED + kind.name: self.names[kind.name] + OWN for kind in self.types}
        self.codes = self.names | carried
        self.weight = np.zeros(256, np.int32)
        self.weight[1 : len(self.types) + 1] = [round(t.weight * 1000) for t in self.types]
        self.role = np.zeros(256, np.uint8)
        self.role[1 : len(self.types) + 1] = [int(Role[t.role.upper()]) for t in self.types]
        self.role[[RESERVED[name] for name in (*PROFILE, INTEREST)]] = Role.DECLARED
        chosen = np.isin(self.role, (Role.CLICK, Role.INTENT))
        self.weight[RESERVED[INTEREST]] = max(1000, int(self.weight[chosen].max(initial=0)))
        self.suppress_item = self._suppression("item")
        self.suppress_category = self._suppression("category")
        self.outcomes = tuple(place + 1 for place, t in enumerate(self.types) if t.outcome)
        self.full_dwell = tuple(round(1000 * (t.full_dwell or 0)) for t in self.types if t.outcome)

    def __len__(self) -> int:
        """Return the number of declared types."""
        return len(self.types)

    def place(self, name: str) -> int:
        """Return the place of a type, 0 when it is not declared."""
        return self.names.get(name, 0)

    def code(self, name: str) -> int:
        """Return the code of a type, 0 when it is not declared."""
        return self.codes.get(name, 0)

    def share(self, outcome: int, dwell: int) -> float:
        """Return how much of an outcome an event is, 0 to 1.

        Args:
            outcome: its place in `outcomes`.
            dwell: ms, 0 where nobody measured it: then it is a whole one.
        """
        full = self.full_dwell[outcome]
        return min(1.0, dwell / full) if full and dwell > 0 else 1.0

    def _suppression(self, scope: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        out = np.zeros(256, np.int64)
        for place, kind in enumerate(self.types):
            for rule in kind.suppresses:
                if rule.scope == scope:
                    out[place + 1] = FOREVER if rule.days is None else int(rule.days * DAY)
        return out
