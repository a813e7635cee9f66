"""Declarations: what is set by name while serving (rules, lists, ...), kept in the log beside the items."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import msgspec

from nearline.schema.event import POISON, Record

MARK = "$"
"""First letter of the event types of `item_events` that are declarations; the rest is the kind."""


class Declaration(msgspec.Struct, frozen=True):
    """One named value of a kind.

    Attributes:
        kind: what it is, such as "rule" or "list".
        body: JSON; "" withdraws it.
    """

    kind: str
    name: str
    body: str

    def record(self, now: int) -> Record:
        """Return it as a record of `item_events`, made at `now` (ms UTC)."""
        return Record("", MARK + self.kind, "", self.name, now, now, context=self.body)


class Declared:
    """All declarations in force, by kind and name.

    Attributes:
        version: changes with each declaration.
    """

    def __init__(self) -> None:
        self._held: dict[str, dict[str, str]] = {}
        self.version = 0

    def put(self, declaration: Declaration) -> None:
        """Bring one into force, or withdraw it. Readers in other threads see the kind as before or as after."""
        held = {name: body for name, body in self.of(declaration.kind).items() if declaration.body or name != declaration.name}
        if declaration.body:
            held[declaration.name] = declaration.body
        self._held[declaration.kind] = held
        self.version += 1

    def follow(self, records: Iterable[Record]) -> None:
        """Bring into force what records of `item_events` declare; items are passed over."""
        for record in records:
            if is_declaration(record):
                self.put(Declaration(record.event_type[len(MARK) :], record.item_id, record.context))

    def of(self, kind: str) -> Mapping[str, str]:
        """Return the bodies of a kind by name, in order of declaration."""
        return MappingProxyType(self._held.get(kind, {}))

    def all(self) -> list[Declaration]:
        """Return everything in force."""
        return [Declaration(kind, name, body) for kind, held in self._held.items() for name, body in held.items()]


def is_declaration(record: Record) -> bool:
    """Return whether a record of `item_events` declares something, rather than being about an item."""
    return record.event_type.startswith(MARK) and record.event_type != POISON
