"""Items: what clients send, and the columns that features and rules read."""

from __future__ import annotations

from typing import Any

import msgspec


class ItemIn(msgspec.Struct, omit_defaults=True):
    """An item as clients send it. Attributes beyond the usual ones go under `attributes`, as the application declares them.

    `category` is a path such as "Home > Kitchen"; `price` is in the shop's currency; `created_at` is ms or s UTC.
    """

    item_id: str | int
    title: str = ""
    category: str = ""
    brand: str = ""
    price: float | None = None
    tags: list[str] = msgspec.field(default_factory=list)
    created_at: int | float | str | None = None
    image_url: str = ""
    available: bool = True
    attributes: dict[str, Any] = msgspec.field(default_factory=dict)


class Item(msgspec.Struct, frozen=True, omit_defaults=True):
    """A registered item; `created_at` is ms UTC, 0 when unknown."""

    item_id: str
    title: str = ""
    category: str = ""
    brand: str = ""
    price: float | None = None
    tags: tuple[str, ...] = ()
    created_at: int = 0
    image_url: str = ""
    available: bool = True
    attributes: dict[str, Any] = msgspec.field(default_factory=dict)
