"""Items: what clients send, and the columns that features and rules read."""

from __future__ import annotations

from typing import Any

import msgspec


class ItemIn(msgspec.Struct, omit_defaults=True):
    """An item as clients send it. Attributes beyond the usual ones go under `attributes`, as the application declares them.

    `category` is a path such as "Home > Kitchen"; `price` is in the shop's currency; times are ms or s UTC, or ISO 8601.
    It is offered from `available_from` until `available_until`, in `regions`, where these are given, and never to its `owner`.
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
    available_from: int | float | str | None = None
    available_until: int | float | str | None = None
    owner: str = ""
    regions: list[str] = msgspec.field(default_factory=list)


class Item(msgspec.Struct, frozen=True, omit_defaults=True):
    """A registered item; times are ms UTC, 0 when unknown."""

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
    available_from: int = 0
    available_until: int = 0
    owner: str = ""
    regions: tuple[str, ...] = ()
