"""What descriptions of endpoints are made of: the operation itself, parameters, and those that many have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from nearline.schema.event import DEVICES
from nearline.schema.query import SURFACES
from nearline.serving.bodies import LONGEST_ID
from nearline.serving.params import LOCALE, MOST_FILTERS
from nearline.serving.routes_lists import DEFAULT_SIZE, MOST_SIZE
from nearline.serving.validate_lists import NAME

Json = dict[str, Any]
JSON = "application/json"
PAGE_TAG = "Page"
"""Of what is there only where `[server] page` is on."""


class Route(Struct, frozen=True):
    """One operation.

    Attributes:
        body: names of the struct and, where it takes several, of their array.
        answers: status to (description, content type, schema or its name).
        errors: statuses beyond those that follow from the rest.
        open: whether it never asks for a key.
    """

    method: str
    path: str
    name: str
    tag: str
    summary: str
    answers: Mapping[str, tuple[str, str, str | Json]]
    parameters: tuple[Json, ...] = ()
    body: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    open: bool = False


def param(name: str, schema: Json, description: str) -> Json:
    """Return a parameter in the query."""
    return {"name": name, "in": "query", "schema": schema, "description": description}


def required(parameter: Json) -> Json:
    """Return a parameter that must be given."""
    return {**parameter, "required": True}


def in_path(name: str) -> Json:
    """Return an id that is part of the path."""
    pattern = r"^[^\u0000?#]+$"
    schema = {"type": "string", "minLength": 1, "maxLength": LONGEST_ID, "pattern": pattern}
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": "Percent-encoded."}


def size(name: str, description: str) -> Json:
    """Return the parameter that says how many items are wanted."""
    schema = {"type": "integer", "minimum": 1, "maximum": MOST_SIZE, "default": DEFAULT_SIZE}
    return param(name, schema, description)


TEXT: Json = {"type": "string", "maxLength": LONGEST_ID, "pattern": r"^[^\u0000]*$"}
USER = param("user_id", TEXT, "Who asks.")
SESSION = param("session_id", TEXT, "The visit; alone, for an anonymous visitor.")
NAME_IN_PATH = {**in_path("name"), "schema": {"type": "string", "pattern": NAME}}
ITEM, USER_ID = in_path("item_id"), in_path("user_id")
RULE = {**in_path("name"), "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$"}}

FILTERS: Json = {"type": "array", "items": {"type": "string", "pattern": "^[^:]+:[^:]+:"}, "maxItems": MOST_FILTERS}
FILTER = param(
    "filter",
    FILTERS,
    "attribute:op:value that every item must meet, such as category:under:Film > Action; repeated for several.",
)
VISIT = (
    USER,
    SESSION,
    param(
        "context",
        {"type": "string", "enum": list(SURFACES), "default": "homepage"},
        "Where it is shown.",
    ),
    size("page_size", "Items wanted."),
    size("num_results", "Another name of page_size; give one of them."),
    param(
        "exclude",
        {"type": "array", "items": {**TEXT, "minLength": 1}},
        "Items that must not be in it: separated by commas, or repeated.",
    ),
    FILTER,
    param(
        "cart",
        {"type": "array", "items": {**TEXT, "minLength": 1}},
        "Items in the cart, the newest last: separated by commas, or repeated.",
    ),
    param("location", TEXT, "Where the visitor is, as the application names places."),
    param("device", {"type": "string", "enum": [d for d in DEVICES if d]}, "What it is shown on."),
    param("locale", {"type": "string", "pattern": LOCALE, "maxLength": 44}, "Language tag."),
)
"""What says who asks, where and for how much."""
