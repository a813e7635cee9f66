"""Attributes of items that an application declares beyond title, category, brand, price and tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from msgspec import Struct

from nearline.schema.conditions import ITEM_KINDS, Kind


class Attribute(Struct, frozen=True):
    """One attribute of an item.

    Attributes:
        source_field: its name in the data that clients send or import; "" for the attribute's own name.
        kind: what conditions may ask of it.
    """

    kind: ClassVar[Kind]
    source_field: str = ""


class Category(Attribute, frozen=True):
    """One of a limited number of names, or a path such as "Home > Kitchen"."""

    kind: ClassVar[Kind] = "category"


class Number(Attribute, frozen=True):
    """A number."""

    kind: ClassVar[Kind] = "number"


class Text(Attribute, frozen=True):
    """Free text, read as words."""

    kind: ClassVar[Kind] = "text"


class Tags(Attribute, frozen=True):
    """A list of names."""

    kind: ClassVar[Kind] = "tags"


class Timestamp(Attribute, frozen=True):
    """A time: ms or s since the epoch, or ISO 8601 with a zone."""

    kind: ClassVar[Kind] = "time"


KINDS: tuple[type[Attribute], ...] = (Category, Number, Text, Tags, Timestamp)

BUILT_IN: dict[str, type[Attribute]] = {
    "title": Text,
    "category": Category,
    "brand": Category,
    "price": Number,
    "tags": Tags,
    "created_at": Timestamp,
    "available_from": Timestamp,
    "available_until": Timestamp,
    "owner": Text,
    "regions": Tags,
}
"""Fields that every item has; declaring one again may only say where it comes from."""


def condition_kinds(declared: Mapping[str, Attribute]) -> dict[str, Kind]:
    """Return the attributes that conditions on items may name: those that every item has, and the declared ones."""
    return {name: attribute.kind for name, attribute in declared.items()} | dict(ITEM_KINDS)
