"""Nearline: real-time recommendations, from one process to a cluster."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nearline.app.attributes import Attribute, Category, Number, Tags, Text, Timestamp
    from nearline.app.definition import App
    from nearline.schema.conditions import Condition
    from nearline.schema.errors import NearlineError
    from nearline.schema.event import EventType, Suppression
    from nearline.schema.page import Page, Row
    from nearline.schema.rules import AtLeast, AtMost, Boost, Bury, Exclude, Pin, Rule

__version__ = "0.1.0"

__all__ = [
    "App",
    "AtLeast",
    "AtMost",
    "Attribute",
    "Boost",
    "Bury",
    "Category",
    "Condition",
    "EventType",
    "Exclude",
    "NearlineError",
    "Number",
    "Page",
    "Pin",
    "Row",
    "Rule",
    "Suppression",
    "Tags",
    "Text",
    "Timestamp",
    "__version__",
]

_HOMES = {
    "App": "nearline.app.definition",
    "Condition": "nearline.schema.conditions",
    "EventType": "nearline.schema.event",
    "NearlineError": "nearline.schema.errors",
    "Page": "nearline.schema.page",
    "Row": "nearline.schema.page",
    "Suppression": "nearline.schema.event",
} | dict.fromkeys(("Attribute", "Category", "Number", "Tags", "Text", "Timestamp"), "nearline.app.attributes")
_HOMES |= dict.fromkeys(("AtLeast", "AtMost", "Boost", "Bury", "Exclude", "Pin", "Rule"), "nearline.schema.rules")


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that `import nearline` stays light."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'nearline' has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
