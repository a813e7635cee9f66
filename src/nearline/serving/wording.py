"""Explanations in the visitor's language: templates resolved once per locale and source, then joined with titles."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol

from nearline.app.definition import App
from nearline.app.explanations import BUILT_IN, DEFAULT, PICKED, VIEWED, fallbacks, tag, types_by_role
from nearline.schema.components import Rows
from nearline.schema.event import Role
from nearline.schema.served import Explanation

MOST_LOCALES = 1_000
"""Tags that are remembered; clients name them."""


class Saying(Protocol):
    """What says why it found an item: a source."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def reason(self) -> str:
        """The type of its explanations."""
        ...

    @property
    def template(self) -> str:
        """Their words, in English."""
        ...


class Phrase(NamedTuple):
    """A template, taken apart: what stands before and after the title; `plain` where there is no title to name."""

    type: str
    before: str
    after: str | None
    plain: Explanation


class Words:
    """The phrases of one locale.

    Args:
        tables: templates by type, the locale's own first, the default's last.
        by_role: what the visitor did, as types, by role.
    """

    def __init__(self, tables: list[Mapping[str, str]], by_role: Mapping[int, str]) -> None:
        self._tables, self._by_role = tables, by_role
        self._phrases: dict[tuple[str, int], Phrase] = {}

    def explain(self, source: Saying, role: int, item_id: str, title: str) -> Explanation:
        """Return why a source found an item.

        Args:
            role: what the visitor did with the item that led there, 0 for unknown.
            item_id, title: of that item, "" where none led there.
        """
        phrase = self._phrases.get((source.name, role)) or self._phrase(source, role)
        if not item_id:
            return phrase.plain
        if phrase.after is None:
            return Explanation(phrase.type, phrase.before, item_id)
        return Explanation(phrase.type, phrase.before + title + phrase.after, item_id)

    def _phrase(self, source: Saying, role: int) -> Phrase:
        kind = self._by_role.get(role, source.reason) if source.reason == VIEWED else source.reason
        template = self._template(kind, source.template)
        before, found, after = template.partition("{title}")
        plain = Explanation(PICKED, self._template(PICKED, "Picked for you")) if found else Explanation(kind, template)
        phrase = self._phrases[source.name, role] = Phrase(kind, before, after if found else None, plain)
        return phrase

    def _template(self, kind: str, own: str) -> str:
        return next((table[kind] for table in self._tables if kind in table), own)


class Wording:
    """An application's explanations in every locale.

    Args:
        app: its own templates go before the built-in ones.
    """

    def __init__(self, app: App) -> None:
        self._tables = {locale: dict(table) for locale, table in BUILT_IN.items()}
        for locale, table in app.explanations.items():
            self._tables.setdefault(tag(locale), {}).update(table)
        self._by_role = types_by_role(app.types)
        self._words: dict[str, Words] = {}
        self._default = self._made(DEFAULT)

    def of(self, locale: str) -> Words:
        """Return the words of a language tag, or of what it falls back to: pt-BR, pt, en."""
        if not locale:
            return self._default
        words = self._words.get(locale)
        if words is None:
            words = self._made(locale)
            if len(self._words) < MOST_LOCALES:
                self._words[locale] = words
        return words

    def _made(self, locale: str) -> Words:
        return Words([self._tables[one] for one in fallbacks(locale) if one in self._tables], self._by_role)


def roles_of(rows: Mapping[str, Rows], keys: Collection[int]) -> dict[int, int]:
    """Return the strongest thing that a visitor did with each of some items, as far as the history goes.

    Args:
        rows: the visitor's rows.
        keys: of the items.

    Returns:
        Role by item key; nothing for items that are not in the history, or only disliked.
    """
    found: dict[int, int] = {}
    if not keys or "history" not in rows:
        return found
    row = rows["history"]
    for item, role in zip(row["items"][0].tolist(), row["roles"][0].tolist(), strict=True):
        if item in keys and found.get(item, 0) < role <= Role.CONVERSION:
            found[item] = role
    return found
