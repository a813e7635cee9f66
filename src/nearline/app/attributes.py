"""Attributes of items that an application declares beyond title, category, brand, price and tags."""

from __future__ import annotations

from msgspec import Struct


class Attribute(Struct, frozen=True):
    """One attribute of an item.

    Attributes:
        source_field: its name in the data that clients send or import; "" for the attribute's own name.
    """

    source_field: str = ""


class Category(Attribute, frozen=True):
    """One of a limited number of names, or a path such as "Home > Kitchen"."""


class Number(Attribute, frozen=True):
    """A number."""


class Text(Attribute, frozen=True):
    """Free text, read as words."""


class Tags(Attribute, frozen=True):
    """A list of names."""


class Timestamp(Attribute, frozen=True):
    """A time: ms or s since the epoch, or ISO 8601 with a zone."""


KINDS: tuple[type[Attribute], ...] = (Category, Number, Text, Tags, Timestamp)

BUILT_IN: dict[str, type[Attribute]] = {
    "title": Text,
    "category": Category,
    "brand": Category,
    "price": Number,
    "tags": Tags,
    "created_at": Timestamp,
}
"""Fields that every item has; declaring one again may only say where it comes from."""
