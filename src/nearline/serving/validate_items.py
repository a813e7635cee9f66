"""Items as clients send them to items as the catalogue keeps them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import msgspec

from nearline.app.attributes import BUILT_IN, Attribute, Category, Number, Tags, Timestamp
from nearline.app.definition import App
from nearline.schema.conditions import path
from nearline.schema.errors import NearlineError
from nearline.schema.item import Item, ItemIn
from nearline.serving.bodies import (
    LONGEST_ID,
    Bodies,
    MalformedError,
    Rejection,
    explained,
    fields,
    identifier,
    nearest,
    shown,
)
from nearline.serving.times import milliseconds

LONGEST = {"title": 1_000, "category": 500, "brand": 256, "image_url": 2_048, "owner": LONGEST_ID}
TIMES = ("created_at", "available_from", "available_until")
MOST_TAGS, LONGEST_TAG = 100, 256
MOST_ATTRIBUTES = 16_384
"""Bytes of JSON that the attributes may take."""
_FIELDS = fields(ItemIn)
_CHANGED = dict[str, Any]


@dataclass(slots=True)
class AcceptedItems:
    """What a body came to; `item_ids` by place in the body, `None` where the item was rejected."""

    items: list[Item]
    item_ids: list[str | None]
    rejected: list[Rejection]


class ItemValidator:
    """Checks items against the application's attributes; without any declared, every attribute goes."""

    def __init__(self, app: App) -> None:
        self._attributes = {name: kind for name, kind in app.attributes.items() if name not in BUILT_IN}
        self._renamed = {kind.source_field: name for name, kind in app.attributes.items() if kind.source_field}
        self._bodies = Bodies(_Any, "items")

    def batch(self, body: bytes) -> AcceptedItems:
        """Return the items of a body: one, an array, or `{"items": [...]}`, up to 1,000.

        Raises:
            MalformedError: it is not JSON.
            NearlineError: it is neither of these forms.
        """
        out = AcceptedItems([], [], [])
        for index, raw in enumerate(self._bodies.split(body)):
            try:
                item = self._item(_members(raw))
            except NearlineError as error:
                out.rejected.append(Rejection(index, error.field, shown(error.value), error.remedy))
                out.item_ids.append(None)
            else:
                out.items.append(item)
                out.item_ids.append(item.item_id)
        return out

    def whole(self, body: bytes, item_id: str) -> Item:
        """Return the item of `PUT /v1/items/{item_id}`; the body need not repeat the id.

        Raises:
            NearlineError: what is wrong with it.
        """
        return self._item(_addressed(_members(body), item_id))

    def changed(self, body: bytes, current: Item) -> Item:
        """Return an item with what the body names changed: null resets a field and removes an attribute.

        Raises:
            NearlineError: what is wrong with it.
        """
        given = self._named(_addressed(_members(body), current.item_id))
        kept: _CHANGED = {name: getattr(current, name) for name in _FIELDS if name != "attributes"}
        kept["tags"], kept["regions"] = list(current.tags), list(current.regions)
        kept |= {name: getattr(current, name) or None for name in TIMES}
        attributes = given.pop("attributes", {})
        if attributes is not None and not isinstance(attributes, dict):
            raise NearlineError("attributes", shown(attributes), "give an object")
        merged = {} if attributes is None else {**current.attributes, **attributes}
        kept["attributes"] = {name: value for name, value in merged.items() if value is not None}
        kept.update(given)
        return self._item({name: value for name, value in kept.items() if value is not None})

    def _item(self, members: _CHANGED) -> Item:
        members = self._named(members)
        if type(members.get("item_id")) is int:
            members["item_id"] = str(members["item_id"])
        raw = _encoded(members)
        try:
            given = msgspec.json.decode(raw, type=ItemIn)
        except msgspec.ValidationError as error:
            raise explained(error, raw, ItemIn) from None
        item_id = identifier(given.item_id, "item_id")
        if not item_id:
            raise NearlineError("item_id", item_id, "give at least one character")
        for name, most in LONGEST.items():
            text = getattr(given, name)
            if len(text) > most or "\0" in text:
                raise NearlineError(name, shown(text), f"give at most {most:,} characters, without NUL")
        if given.price is not None and not 0 <= given.price <= 1e12:
            raise NearlineError("price", given.price, "give a number from 0 to 1,000,000,000,000")
        created, begins, ends = (_time(getattr(given, name), name) for name in TIMES)
        if ends and ends <= begins:
            raise NearlineError("available_until", given.available_until, "let it end after available_from")
        return Item(
            item_id,
            given.title,
            path(given.category),
            given.brand.strip(),
            given.price,
            _tags(given.tags, "tags"),
            created,
            given.image_url,
            given.available,
            self._checked(given.attributes),
            begins,
            ends,
            given.owner,
            _tags(given.regions, "regions"),
        )

    def _named(self, members: _CHANGED) -> _CHANGED:
        """Return the members under the names that Nearline knows, refusing those it does not."""
        out: _CHANGED = {}
        moved: _CHANGED = {}
        for field, value in members.items():
            name = field if field in _FIELDS else self._renamed.get(field, field)
            if name in _FIELDS:
                out[name] = value
            elif name in self._attributes:
                moved[name] = value
            else:
                known = nearest(field, [*_FIELDS, *self._attributes])
                raise NearlineError(field, shown(value), f"there is no such field{known}; more goes under attributes")
        if moved and isinstance(out.get("attributes", {}), dict):
            out["attributes"] = {**out.get("attributes", {}), **moved}
        return out

    def _checked(self, attributes: _CHANGED) -> _CHANGED:
        out: _CHANGED = {}
        for field, value in attributes.items():
            name = self._renamed.get(field, field)
            kind = self._attributes.get(name)
            if kind is not None:
                out[name] = _typed(kind, value, f"attributes.{field}")
            elif self._attributes:
                remedy = f"the application declares no such attribute{nearest(field, self._attributes)}"
                raise NearlineError(f"attributes.{field}", shown(value), remedy)
            else:
                out[field] = value
        if len(_encoded(out)) > MOST_ATTRIBUTES:
            raise NearlineError("attributes", shown(out), f"keep them below {MOST_ATTRIBUTES:,} bytes")
        return out


class _Any(msgspec.Struct):
    """Stands for an item: elements are split here and decoded one by one."""


def _typed(kind: Attribute, value: Any, field: str) -> Any:
    if isinstance(kind, Number):
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise NearlineError(field, shown(value), "give a number")
        return value
    if isinstance(kind, Timestamp):
        return milliseconds(value, field)
    if isinstance(kind, Tags):
        return list(_tags(value, field))
    if not isinstance(value, str):
        raise NearlineError(field, shown(value), "give text")
    return path(value) if isinstance(kind, Category) else value


def _time(value: float | str | None, field: str) -> int:
    return 0 if value is None else milliseconds(value, field)


def _tags(value: Any, field: str) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MOST_TAGS:
        raise NearlineError(field, shown(value), f"give a list of at most {MOST_TAGS} names")
    for tag in value:
        if not isinstance(tag, str) or not 0 < len(tag) <= LONGEST_TAG or "\0" in tag:
            raise NearlineError(field, shown(tag), f"give each as text of 1 to {LONGEST_TAG} characters, without NUL")
    return tuple(value)


def _members(raw: bytes | msgspec.Raw) -> _CHANGED:
    try:
        members: _CHANGED = msgspec.json.decode(raw, type=dict[str, Any])
    except msgspec.ValidationError as error:
        raise explained(error, raw, ItemIn) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError("body", shown(bytes(raw).decode("utf-8", "replace")), f"send valid JSON: {error}") from None
    return members


def _addressed(members: _CHANGED, item_id: str) -> _CHANGED:
    own = members.get("item_id", item_id)
    if own != item_id and not (type(own) is int and shown(own) == own and str(own) == item_id):
        raise NearlineError("item_id", shown(own), "leave it out, or repeat the one in the path")
    return {**members, "item_id": item_id}


def _encoded(value: _CHANGED) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (OverflowError, RecursionError, msgspec.MsgspecError):
        raise NearlineError("attributes", shown(value), "keep whole numbers within 64 bits, or send text") from None
