"""A request for a list."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nearline.schema.conditions import Condition
from nearline.schema.page import Page

if TYPE_CHECKING:
    from nearline.schema.rules import Rule

SURFACES = ("homepage", "item", "cart", "email", "push", "search")
SURFACE_CODES = {name: place + 1 for place, name in enumerate(SURFACES)}
"""Of events, 0 for none; a new surface goes to the end of `SURFACES`, or state must be replayed."""
MESSAGES = ("email", "push")
"""Surfaces that are sent rather than looked at."""


class Query(msgspec.Struct, frozen=True):
    """Who asks for what, and when.

    Attributes:
        visitor: 64-bit key of the user or, when anonymous, of the session.
        now: ms UTC, from the tenant's clock.
        surface: one of `SURFACES`.
        item_id: the item the page is about, where there is one.
        exclude: items that must not be in the list.
        cart: items in the visitor's cart, the newest last.
        location: where the visitor is, as the application names places (such as a country code).
        filters: conditions that each item must meet, in their one form.
        trial: a rule that is tried out: the list is made as if it were declared, in force at any time.
        limits: whether stage budgets apply (evaluation turns them off).
        explain: whether each item says which sources found it, and how much each did.
        page, row: names of the page and its row, where the list is one; `rows` is the page that is asked for.
        log: whether the list is one that leaves an impression (evaluation's are not; a traced one is, and leaves none).
        seed: another seed, another draw where chance has a say; with 0 it is the visitor's of the day.
    """

    visitor: int
    now: int
    user_id: str = ""
    session_id: str = ""
    surface: str = "homepage"
    page_size: int = 20
    item_id: str = ""
    exclude: tuple[str, ...] = ()
    cart: tuple[str, ...] = ()
    device: str = ""
    locale: str = ""
    location: str = ""
    filters: tuple[Condition, ...] = ()
    trial: Rule | None = None
    variant: str = ""
    debug: bool = False
    explain: bool = False
    page: str = ""
    row: str = ""
    rows: Page | None = None
    limits: bool = True
    log: bool = True
    rules: bool = True
    seed: int = 0
