"""Editorial lists as clients send them to lists as they are kept."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from nearline.schema.errors import NearlineError
from nearline.schema.lists import ItemList
from nearline.schema.query import SURFACES
from nearline.serving.bodies import explained, identifier, nearest, shown, text_of
from nearline.serving.times import milliseconds, readable

MOST_ITEMS = 1_000
LONGEST_TITLE = 200
NAME = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_NAME = re.compile(NAME.replace("$", r"\Z"))


class ListIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An editorial list.

    Attributes:
        item_ids: in the editors' order, 1 to 1,000.
        title: what visitors read above it.
        starts, ends: from when and until when it is shown; by default always.
        surfaces: where it is shown, by default everywhere.
    """

    item_ids: list[Any]
    title: str = ""
    starts: Any = None
    ends: Any = None
    surfaces: list[str] = []


def list_name(text: str) -> str:
    """Return a list's name, checked.

    Raises:
        NearlineError: it could not be part of an address.
    """
    if not _NAME.match(text):
        raise NearlineError("name", shown(text), "use up to 64 letters, digits, . - and _, beginning with a letter or digit")
    return text


def list_of(body: bytes) -> ItemList:
    """Return the list of a body.

    Raises:
        MalformedError: it is not JSON.
        NearlineError: what is wrong with it, with field, value and remedy.
    """
    text_of(body)
    try:
        given = msgspec.json.decode(body, type=ListIn)
    except (msgspec.DecodeError, RecursionError) as error:
        raise explained(error, body, ListIn) from None
    if not 1 <= len(given.item_ids) <= MOST_ITEMS:
        raise NearlineError("item_ids", f"{len(given.item_ids)} of them", f"give 1 to {MOST_ITEMS:,}")
    ids = [identifier(one, f"item_ids[{place}]") for place, one in enumerate(given.item_ids)]
    if "" in ids:
        raise NearlineError(f"item_ids[{ids.index('')}]", "", "give the id of an item")
    if len(given.title) > LONGEST_TITLE or "\0" in given.title:
        raise NearlineError("title", shown(given.title), f"give at most {LONGEST_TITLE} characters, without NUL")
    starts = 0 if given.starts is None else milliseconds(given.starts, "starts")
    ends = 0 if given.ends is None else milliseconds(given.ends, "ends")
    if ends and ends <= starts:
        raise NearlineError("ends", shown(given.ends), f"it must be after starts, {readable(starts)}")
    for place, surface in enumerate(given.surfaces):
        if surface not in SURFACES:
            raise NearlineError(f"surfaces[{place}]", shown(surface), f"there is no such surface{nearest(surface, SURFACES)}")
    return ItemList(given.title, tuple(dict.fromkeys(ids)), starts, ends, tuple(dict.fromkeys(given.surfaces)))
