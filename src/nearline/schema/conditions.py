"""Conditions: what an item, or a request, must be for a filter or a rule to hold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from nearline.schema.errors import NearlineError, nearest

Kind = Literal["id", "category", "number", "text", "tags", "time", "flag", "name", "locale"]
Value = str | int | float | bool | tuple[str, ...]

OPS: Mapping[Kind, tuple[str, ...]] = {
    "id": ("is", "not", "in", "not_in"),
    "category": ("is", "not", "in", "not_in", "under", "not_under"),
    "number": ("is", "not", "at_least", "at_most"),
    "text": ("is", "not", "contains"),
    "tags": ("has", "lacks", "in", "not_in"),
    "time": ("newer_than_days", "older_than_days", "before", "after"),
    "flag": ("is",),
    "name": ("is", "not", "in", "not_in"),
    "locale": ("is", "not", "in", "not_in", "under"),
}
"""What can be asked of each kind of attribute."""

OPPOSITES = {"not": "is", "not_in": "in", "not_under": "under", "lacks": "has"}
"""Ops that hold where another does not."""

ITEM_KINDS: Mapping[str, Kind] = {
    "item_id": "id",
    "title": "text",
    "category": "category",
    "brand": "category",
    "price": "number",
    "tags": "tags",
    "created_at": "time",
    "available": "flag",
    "available_from": "time",
    "available_until": "time",
    "owner": "text",
    "regions": "tags",
}
"""Attributes that every item has; an application's own come beside them."""

MOST_VALUES = 1_000
"""Values of one condition at most."""
LONGEST = 1_000
"""Characters of a value at most."""


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An attribute, an op, and the value that it is compared with.

    Attributes:
        attribute: of an item (category, price, ...) or of a request (surface, hour, ...).
        op: one of `OPS` of the attribute's kind.
        value: text, a number, true or false, or a list of text for `in` and `not_in`.
    """

    attribute: str
    op: str
    value: Value


class Attributes(Protocol):
    """Which items meet conditions."""

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """The attributes of items that conditions may name, with their kinds."""
        ...

    def mask(self, conditions: tuple[Condition, ...], now: int) -> NDArray[np.bool_]:
        """Return which slots meet all of some checked conditions at `now` (ms UTC), `[n] bool`; later slots meet none."""
        ...

    def kept(self, conditions: tuple[Condition, ...], now: int, items: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Return which of some slots (`[m] int32`) meet them, `[m] bool`."""
        ...

    def renew(self) -> None:
        """Follow every changed item; called beside the requests."""
        ...


def checked(condition: Condition, kinds: Mapping[str, Kind], field: str) -> Condition:
    """Return a condition in its one form.

    Args:
        kinds: what it may name.
        field: where it stands, for the error.

    Raises:
        NearlineError: an attribute or op that there is not, or a value that does not go with them.
    """
    kind = kinds.get(condition.attribute)
    if kind is None:
        remedy = f"there is no such attribute{nearest(str(condition.attribute), kinds)}"
        raise NearlineError(f"{field}.attribute", condition.attribute, remedy)
    if condition.op not in OPS[kind]:
        remedy = f"{condition.attribute} has no such op{nearest(str(condition.op), OPS[kind])}"
        raise NearlineError(f"{field}.op", condition.op, remedy)
    return Condition(condition.attribute, condition.op, _value(kind, condition.op, condition.value, f"{field}.value"))


def all_checked(conditions: Iterable[Condition], kinds: Mapping[str, Kind], field: str) -> tuple[Condition, ...]:
    """Return conditions, each in its one form; see `checked`."""
    return tuple(checked(condition, kinds, f"{field}[{place}]") for place, condition in enumerate(conditions))


def parsed(text: str, kinds: Mapping[str, Kind], field: str) -> Condition:
    """Return a condition written as `attribute:op:value`, several values separated by `|`; see `checked`."""
    attribute, op, value = (*(part.strip() for part in text.split(":", 2)), "", "")[:3]
    if text.count(":") < 2:
        raise NearlineError(field, text, "write attribute:op:value, such as category:under:Film > Action or price:at_most:20")
    given: Any = value
    if op in ("in", "not_in"):
        given = tuple(part.strip() for part in value.split("|") if part.strip())
    elif kinds.get(attribute) == "flag":
        given = {"true": True, "false": False}.get(value, value)
    elif kinds.get(attribute) == "number" or op.endswith("_days"):
        try:
            given = float(value)
        except ValueError:
            given = value
    try:
        return checked(Condition(attribute, op, given), kinds, "")
    except NearlineError as error:
        raise NearlineError(field, text, f"{error.field.lstrip('.')} {error.value!r}: {error.remedy}") from None


def is_timed(conditions: Iterable[Condition]) -> bool:
    """Return whether what meets the conditions changes as time goes by."""
    return any(condition.op in ("newer_than_days", "older_than_days") for condition in conditions)


def path(text: str) -> str:
    """Return a category path in its one form, "A > B"."""
    return " > ".join(part for part in (piece.strip() for piece in text.split(">")) if part)


def moment(value: str) -> float:
    """Return an ISO 8601 time with a zone as ms UTC; raises ValueError for another text."""
    found = datetime.fromisoformat(value)
    if found.tzinfo is None:
        raise ValueError(value)
    return found.timestamp() * 1000


def _value(kind: Kind, op: str, value: Any, field: str) -> Value:
    if op in ("in", "not_in"):
        values = tuple(value) if isinstance(value, tuple | list) else ()
        if not 0 < len(values) <= MOST_VALUES:
            raise NearlineError(field, value, f"give a list of 1 to {MOST_VALUES:,} texts")
        return tuple(_text(kind, one, field) for one in values)
    if kind == "flag":
        if not isinstance(value, bool):
            raise NearlineError(field, value, "give true or false")
        return value
    if kind == "number" or op.endswith("_days"):
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise NearlineError(field, value, "give a number")
        if op.endswith("_days") and not 0 < value <= 100_000:
            raise NearlineError(field, value, "give a number of days above 0, at most 100,000")
        return float(value)
    text = _text(kind, value, field)
    if kind == "time":
        try:
            moment(text)
        except (ValueError, OverflowError):
            raise NearlineError(field, value, "give ISO 8601 with a zone, such as 2024-05-01T12:00:00Z") from None
    if op in ("under", "not_under", "contains") and not text.strip():
        raise NearlineError(field, value, "give at least one character")
    return text


def _text(kind: Kind, value: Any, field: str) -> str:
    if not isinstance(value, str) or len(value) > LONGEST or "\0" in value:
        raise NearlineError(field, value, f"give text of at most {LONGEST:,} characters, without NUL")
    return path(value) if kind == "category" else value
