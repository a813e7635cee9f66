"""Items as they are registered, the application and its releases. Fields that a newer server adds are ignored."""

from __future__ import annotations

from typing import Any

import msgspec


class Item(msgspec.Struct, frozen=True):
    """A registered item; times are ms UTC, 0 when unknown."""

    item_id: str
    title: str = ""
    category: str = ""
    brand: str = ""
    price: float | None = None
    tags: list[str] = []
    created_at: int = 0
    image_url: str = ""
    available: bool = True
    attributes: dict[str, Any] = {}
    available_from: int = 0
    available_until: int = 0
    owner: str = ""
    regions: list[str] = []


class ItemTaken(msgspec.Struct, frozen=True):
    """An item as it is registered now."""

    item: Item
    offset: int = 0


class EventKind(msgspec.Struct, frozen=True):
    """An event type that the application declares."""

    name: str
    role: str = ""
    weight: float = 0.0
    outcome: bool = False


class PageKind(msgspec.Struct, frozen=True):
    """A page of rows, and its surface."""

    name: str
    surface: str = ""


class AttributeKind(msgspec.Struct, frozen=True):
    """An attribute of items that filters and rules may name, and what can be asked of it."""

    name: str
    kind: str = ""
    ops: list[str] = []


class Application(msgspec.Struct, frozen=True):
    """What the application declares; `items` is how many are registered now."""

    name: str
    version: str = ""
    events: list[EventKind] = []
    surfaces: list[str] = []
    pages: list[PageKind] = []
    attributes: list[AttributeKind] = []
    items: int = 0


class Gate(msgspec.Struct, frozen=True):
    """A test that a release passed, or did not."""

    name: str
    passed: bool
    reason: str = ""


class Release(msgspec.Struct, frozen=True):
    """A trained release, its metrics beside those of what it was compared with, and its gates; times in ms UTC."""

    version: str
    parent: str = ""
    created_at: int = 0
    items: int = 0
    events: int = 0
    examples: str = ""
    metrics: dict[str, dict[str, float]] = {}
    gates: list[Gate] = []


class Releases(msgspec.Struct, frozen=True):
    """All releases, the newest first; `in_service` is "" before the first."""

    in_service: str
    releases: list[Release]
