"""The pages of an application: what makes a declared one wrong, and those that it has when it declares none."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from nearline.schema.conditions import Condition, Kind, checked, parsed
from nearline.schema.errors import NearlineError, nearest
from nearline.schema.page import Page, Row
from nearline.schema.query import SURFACES

MOST_ROWS = 50
MOST_SIZE = 100
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
PLACEHOLDERS = ("title", "category")

DEFAULT_PAGES: Mapping[str, Page] = {
    "home": Page(
        (
            Row(list="*", most=3, fixed=True),
            Row(source="history"),
            Row(),
            Row(source="covisit", most=3),
            Row("Trending in {category}", source="trending", most=2),
            Row(source="trending"),
        )
    ),
    "item": Page((Row(source="covisit"), Row(source="content"), Row(list="*")), "item"),
    "cart": Page((Row(), Row(source="covisit", most=2)), "cart"),
}
"""Rows whose source the application does not use are left out."""


def check_pages(pages: object, kinds: Mapping[str, Kind]) -> dict[str, Page]:
    """Return declared pages, with conditions in their one form.

    Args:
        kinds: attributes that conditions may name.

    Raises:
        NearlineError: what is declared can't be right.
    """
    if not isinstance(pages, Mapping):
        raise NearlineError("App.pages", pages, 'give a dict, such as {"home": Page((Row(), Row(source="trending")))}')
    return {name: _page(name, page, kinds) for name, page in pages.items()}


def check_row_sources(pages: Mapping[str, Page], sources: Collection[str]) -> None:
    """Refuse a row whose source the application does not have."""
    for name, page in pages.items():
        for place, row in enumerate(page.rows):
            if row.source and row.source not in sources:
                where = f'App.pages["{name}"].rows[{place}].source'
                raise NearlineError(where, row.source, f"there is no such source{nearest(row.source, sources)}")


def _page(name: object, page: object, kinds: Mapping[str, Kind]) -> Page:
    if not isinstance(name, str) or not NAME.match(name):
        raise NearlineError("App.pages", name, "use up to 64 letters, digits, . - and _, beginning with a letter or digit")
    where = f'App.pages["{name}"]'
    if not isinstance(page, Page):
        raise NearlineError(where, page, 'give a Page, such as Page((Row(), Row(source="trending")))')
    if page.surface not in SURFACES:
        raise NearlineError(f"{where}.surface", page.surface, f"there is no such surface{nearest(page.surface, SURFACES)}")
    _whole(f"{where}.most", page.most, MOST_ROWS)
    if isinstance(page.rows, str) or not isinstance(page.rows, tuple | list) or not 1 <= len(page.rows) <= MOST_ROWS:
        raise NearlineError(f"{where}.rows", page.rows, f"give 1 to {MOST_ROWS} rows")
    return replace(page, rows=tuple(_row(f"{where}.rows[{place}]", row, kinds) for place, row in enumerate(page.rows)))


def _row(where: str, row: object, kinds: Mapping[str, Kind]) -> Row:
    if not isinstance(row, Row):
        raise NearlineError(where, row, 'give a Row, such as Row("New this week", filter=("created_at:newer_than_days:7",))')
    for name in ("title", "source", "list", "name"):
        if not isinstance(getattr(row, name), str):
            raise NearlineError(f"{where}.{name}", getattr(row, name), "give text")
    if row.source and row.list:
        raise NearlineError(f"{where}.list", row.list, "give a source or a list, not both")
    for name in re.findall(r"\{(.*?)\}", row.title):
        if name not in PLACEHOLDERS or row.list:
            remedy = "a list has one title" if row.list else "use {title} for the item that led there, or {category}"
            raise NearlineError(f"{where}.title", row.title, remedy)
    _whole(f"{where}.size", row.size, MOST_SIZE)
    _whole(f"{where}.least", row.least, row.size)
    _whole(f"{where}.most", row.most, MOST_ROWS)
    if isinstance(row.filter, str) or not isinstance(row.filter, tuple | list):
        raise NearlineError(f"{where}.filter", row.filter, 'give a tuple, such as ("category:under:Film",)')
    conditions = (_condition(f"{where}.filter[{place}]", given, kinds) for place, given in enumerate(row.filter))
    return replace(row, filter=tuple(conditions))


def _condition(where: str, given: object, kinds: Mapping[str, Kind]) -> Condition:
    if isinstance(given, str):
        return parsed(given, kinds, where)
    if isinstance(given, Condition):
        return checked(given, kinds, where)
    raise NearlineError(where, given, 'write attribute:op:value, such as "category:under:Film"')


def _whole(where: str, value: object, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise NearlineError(where, value, f"give a whole number from 1 to {most}")
