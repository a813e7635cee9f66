"""Editorial lists: items that people chose, in their order, for a time and some surfaces. Kept as declarations."""

from __future__ import annotations

import msgspec

from nearline.schema.declared import Declaration

KIND = "list"
"""Of their declarations."""


class ItemList(msgspec.Struct, frozen=True, omit_defaults=True):
    """One list; its name is that of its declaration.

    Attributes:
        title: what visitors read above it; "" for none.
        item_ids: in the editors' order.
        starts, ends: ms UTC, the end exclusive; 0 for always.
        surfaces: where it is shown; none for everywhere.
    """

    title: str = ""
    item_ids: tuple[str, ...] = ()
    starts: int = 0
    ends: int = 0
    surfaces: tuple[str, ...] = ()

    def in_force(self, now: int, surface: str) -> bool:
        """Return whether it is shown on a surface at `now` (ms UTC)."""
        return self.starts <= now and (not self.ends or now < self.ends) and (not self.surfaces or surface in self.surfaces)

    def declaration(self, name: str) -> Declaration:
        """Return what brings it into force under a name."""
        return Declaration(KIND, name, msgspec.json.encode(self).decode())


decode_list = msgspec.json.Decoder(ItemList).decode
"""Read a declaration's body."""
