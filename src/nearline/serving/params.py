"""Query parameters, checked: what is wrong is named with its value and what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl

from nearline.schema.conditions import Condition, Kind, parsed
from nearline.schema.errors import NearlineError
from nearline.serving.bodies import LONGEST_ID, identifier, nearest, shown
from nearline.serving.times import milliseconds

MOST_EXCLUDED = 1_000
MOST_FILTERS = 20
LOCALE = "^[A-Za-z]{1,8}([-_][A-Za-z0-9]{1,8}){0,4}$"
_LOCALE = re.compile(LOCALE.replace("$", r"\Z"))
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


class Params:
    """The parameters of one request.

    Args:
        query: the query string.
        known: the names that the endpoint has.

    Raises:
        NearlineError: another name, or text that is not UTF-8.
    """

    __slots__ = ("_pairs",)

    def __init__(self, query: bytes, known: frozenset[str]) -> None:
        try:
            pairs = parse_qsl(query.decode(), keep_blank_values=True, errors="strict", max_num_fields=2000)
        except ValueError:
            raise NearlineError("query", shown(repr(query)), "send percent-encoded UTF-8, fewer parameters") from None
        for name, value in pairs:
            if name not in known:
                raise NearlineError(name, value, f"there is no such parameter{nearest(name, sorted(known))}")
        self._pairs = pairs

    def text(self, name: str) -> str:
        """Return an id or the like, "" where it is not given."""
        found = ""
        times = 0
        for key, value in self._pairs:
            if key == name:
                times, found = times + 1, value
        if times > 1:
            raise NearlineError(name, shown(found), "give it once")
        return identifier(found, name) if found else ""

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        """Return a whole number within bounds."""
        text = self.text(name)
        if not text and not self.given(name):
            return default
        if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
            raise NearlineError(name, text, f"give a whole number from {least} to {most}")
        return int(text)

    def share(self, name: str, default: float) -> float:
        """Return a number from 0 to 1."""
        text = self.text(name)
        if not text and not self.given(name):
            return default
        try:
            value = float(text) if "_" not in text else -1.0
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1:
            raise NearlineError(name, text, "give a number from 0 to 1")
        return value

    def time(self, name: str, default: int) -> int:
        """Return a time as ms UTC."""
        text = self.text(name)
        if not text and not self.given(name):
            return default
        return milliseconds(int(text) if text.isascii() and text.isdigit() and len(text) < 16 else text, name)

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a truth value."""
        text = self.text(name)
        if not text and not self.given(name):
            return default
        if text not in _FLAGS:
            raise NearlineError(name, text, "give true or false")
        return _FLAGS[text]

    def choice(self, name: str, choices: Sequence[str], default: str) -> str:
        """Return one of the choices."""
        text = self.text(name)
        if not text and not self.given(name):
            return default
        if text not in choices:
            raise NearlineError(name, text, f"use one of {', '.join(c for c in choices if c)}")
        return text

    def locale(self, name: str) -> str:
        """Return a language tag, "" where it is not given."""
        return language_tag(self.text(name), name) if self.given(name) else ""

    def ids(self, name: str) -> tuple[str, ...]:
        """Return ids from one or several parameters, each a comma-separated list."""
        found = [part for key, value in self._pairs if key == name for part in value.split(",") if part]
        if not found:
            return ()
        if len(found) > MOST_EXCLUDED:
            raise NearlineError(name, f"{len(found)} of them", f"give at most {MOST_EXCLUDED:,}")
        return tuple(identifier(one, name) for one in found)

    def conditions(self, name: str, kinds: Mapping[str, Kind]) -> tuple[Condition, ...]:
        """Return conditions on items, each of the form `attribute:op:value`, from one or several parameters."""
        return conditions_of([value for key, value in self._pairs if key == name], kinds, name)

    def given(self, name: str) -> bool:
        """Return whether a parameter is there, be it empty."""
        return any(key == name for key, _ in self._pairs)


def conditions_of(texts: Sequence[str], kinds: Mapping[str, Kind], name: str) -> tuple[Condition, ...]:
    """Return conditions on items, each written `attribute:op:value`, checked."""
    if len(texts) > MOST_FILTERS:
        raise NearlineError(name, f"{len(texts)} of them", f"give at most {MOST_FILTERS}")
    return tuple(parsed(text, kinds, name) for text in texts)


def language_tag(text: str, name: str) -> str:
    """Return a language tag, checked."""
    if not _LOCALE.match(text):
        raise NearlineError(name, shown(text), "give a language tag, such as en or pt-BR")
    return text


__all__ = ["LOCALE", "LONGEST_ID", "MOST_EXCLUDED", "MOST_FILTERS", "Params", "conditions_of", "language_tag"]
