"""What a visitor says of himself, from a body to the records that keep it."""

from __future__ import annotations

import os
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from nearline.schema.declared import Declaration, Declared
from nearline.schema.errors import NearlineError
from nearline.schema.event import Record
from nearline.schema.ids import key32
from nearline.schema.profile import AGE_GROUPS, ATTRIBUTES, GENDERS, INTEREST, LOCATION
from nearline.serving.bodies import Bodies, identifier, nearest, shown
from nearline.stores.catalog import Catalog

LONGEST_PLACE = 64
MOST_LOCATIONS = 1_000
MOST_INTERESTS = 50
WIDENED = 4
"""Paths at most that one wide category, such as "Home", stands for."""
CHOICES = {"age_group": AGE_GROUPS, "gender": GENDERS}


class ProfileIn(msgspec.Struct, forbid_unknown_fields=True):
    """Demographics as clients send them; null withdraws one."""

    age_group: str | UnsetType | None = UNSET
    gender: str | UnsetType | None = UNSET
    location: str | UnsetType | None = UNSET


class InterestsIn(msgspec.Struct, forbid_unknown_fields=True):
    """What a visitor says he likes: category paths, brands and items of the catalogue, up to 50 together."""

    categories: list[str] = []
    brands: list[str] = []
    items: list[str | int] = []


_profiles, _interests = Bodies(ProfileIn, "profiles"), Bodies(InterestsIn, "interests")


def profile_of(body: bytes, whole: bool) -> dict[str, str]:
    """Return attributes to set, "" to withdraw; with `whole`, those that the body does not name are withdrawn.

    Raises:
        NearlineError: an unknown attribute or value.
    """
    given = _profiles.element(body)
    out: dict[str, str] = {}
    for name in ATTRIBUTES:
        value: Any = getattr(given, name)
        if value is UNSET and not whole:
            continue
        text = "" if value is UNSET or value is None else identifier(value, name)
        if value == "" or len(text) > LONGEST_PLACE:
            raise NearlineError(name, shown(value), f"give 1 to {LONGEST_PLACE} characters, or null to withdraw it")
        if text and name in CHOICES and text not in CHOICES[name]:
            raise NearlineError(name, shown(text), f"use one of {', '.join(CHOICES[name])}")
        out[name] = text
    return out


def profile_records(user_id: str, profile: dict[str, str], now: int) -> list[Record]:
    """Return one record for each attribute (see `schema.profile`), made at `now` (ms UTC)."""
    return [Record(_new_id(), f"${name}", user_id, "", now, now, category=value) for name, value in profile.items()]


def location_declaration(profile: dict[str, str], declared: Declared) -> Declaration | None:
    """Return the declaration that keeps a new location's name readable, `None` where it is known.

    Raises:
        NearlineError: there are too many different ones, or its key is another's.
    """
    name = profile.get(LOCATION, "")
    known = declared.of(LOCATION)
    if not name or name in known:
        return None
    if len(known) >= MOST_LOCATIONS:
        raise NearlineError(
            LOCATION, name, f"there are {MOST_LOCATIONS:,} locations already; use wider ones, such as countries"
        )
    if location_name(key32(name), declared):
        raise NearlineError(LOCATION, name, "its key is another location's; use another name")
    return Declaration(LOCATION, name, "true")


def location_name(key: int, declared: Declared) -> str:
    """Return the name of a location by its key, "" where it is not known."""
    return next((name for name in declared.of(LOCATION) if key and key32(name) == key), "")


def interest_records(body: bytes, user_id: str, catalog: Catalog, now: int) -> list[Record]:
    """Return one record for each interest, made at `now` (ms UTC); a wide category becomes the paths below it.

    Raises:
        NearlineError: none, too many, or one that the catalogue does not have.
    """
    given = _interests.element(body)
    size = len(given.categories) + len(given.brands) + len(given.items)
    if not 1 <= size <= MOST_INTERESTS:
        raise NearlineError("interests", f"{size} of them", f"give 1 to {MOST_INTERESTS} categories, brands and items")
    out: list[Record] = []
    for place, name in enumerate(given.categories):
        out += [Record(_new_id(), INTEREST, user_id, "", now, now, category=path) for path in _paths(name, place, catalog)]
    for place, name in enumerate(given.brands):
        if not name or catalog.names.get(key32(name)) != name:
            raise NearlineError(f"brands[{place}]", shown(name), "give a brand of the catalogue")
        out.append(Record(_new_id(), INTEREST, user_id, "", now, now, brand=name))
    for place, item_id in enumerate(given.items):
        item = catalog.items.get(identifier(item_id, f"items[{place}]"))
        if item is None:
            raise NearlineError(f"items[{place}]", shown(item_id), "give the id of a registered item")
        record = Record(_new_id(), INTEREST, user_id, item.item_id, now, now, category=item.category, brand=item.brand)
        record.price = item.price
        out.append(record)
    return out


def _paths(name: str, place: int, catalog: Catalog) -> list[str]:
    if name and catalog.names.get(key32(name)) == name:
        return [name]
    below = sorted(path for path in catalog.names.values() if path.startswith(name + " > ")) if name else []
    if not below:
        near = nearest(name, list(catalog.names.values())[:1_000]) if catalog.names else ""
        remedy = f"give a category of the catalogue{near if near.startswith('; did') else ''}"
        raise NearlineError(f"categories[{place}]", shown(name), remedy)
    return below[:WIDENED]


def _new_id() -> str:
    return os.urandom(16).hex()
