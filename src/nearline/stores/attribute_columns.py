"""Columns of the attribute index: what one attribute says of each item, in the form that its conditions ask."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import I32
from nearline.schema.clock import DAY
from nearline.schema.conditions import Kind, Value, moment, path
from nearline.schema.item import Item
from nearline.stores.catalog import Catalog

Mask = NDArray[np.bool_]
Changes = Sequence[tuple[int, Item | None]]
"""Slots with the items that are there now, `None` where there is none any more."""
_NONE: I32 = np.empty(0, np.int32)
_WORD = re.compile(r"\w+")


class Column(Protocol):
    """One attribute by slot."""

    def take(self, changes: Changes, n: int) -> None:
        """Follow changed items; there are `n` slots now."""
        ...

    def fill(self, op: str, value: Value, now: int, out: Mask) -> None:
        """Set `out`, `[n] bool` and false, where an op that is no other's opposite holds."""
        ...


class PostingsColumn:
    """Slots by term, for attributes with names: a term is `=` and the whole value, `>` and a path, `~` and a word.

    A changed term's slots are replaced by one assignment, so that readers in other threads see them before or after.
    """

    def __init__(self, terms: Callable[[Item], Iterable[str]]) -> None:
        self._terms = terms
        self._held: dict[int, frozenset[str]] = {}
        self._slots: dict[str, I32] = {}

    def take(self, changes: Changes, n: int) -> None:
        """Follow changed items; there are `n` slots now."""
        added: dict[str, list[int]] = {}
        removed: dict[str, list[int]] = {}
        for slot, item in changes:
            old, new = self._held.get(slot, frozenset()), frozenset(() if item is None else self._terms(item))
            for term in new - old:
                added.setdefault(term, []).append(slot)
            for term in old - new:
                removed.setdefault(term, []).append(slot)
            self._held[slot] = new
        for term in added.keys() | removed.keys():
            slots = self._slots.get(term, _NONE)
            if term in removed:
                slots = slots[~np.isin(slots, removed[term])]
            slots = np.concatenate((slots, np.array(added.get(term, ()), np.int32)))
            if len(slots):
                self._slots[term] = slots
            else:
                self._slots.pop(term, None)

    def fill(self, op: str, value: Value, now: int, out: Mask) -> None:
        """Set `out` where `is`, `in`, `has`, `under` or `contains` holds."""
        if op == "contains":
            words = [self._slots.get("~" + word, _NONE) for word in words_of(str(value))] or [_NONE]
            for slots in words[:1]:
                out[slots] = True
            for slots in words[1:]:
                own = np.zeros_like(out)
                own[slots] = True
                out &= own
            return
        mark = ">" if op == "under" else "="
        for one in value if isinstance(value, tuple) else (str(value),):
            out[self._slots.get(mark + one, _NONE)] = True


class NumberColumn:
    """A number by slot, NaN for none: numbers, times in ms UTC, and flags as 0 and 1."""

    def __init__(self, read: Callable[[Item], float]) -> None:
        self._read = read
        self._values = np.full(0, np.nan)

    def take(self, changes: Changes, n: int) -> None:
        """Follow changed items; there are `n` slots now."""
        values = self._values
        if len(values) < n:
            values = np.full(n + n // 2, np.nan)
            values[: len(self._values)] = self._values
        for slot, item in changes:
            values[slot] = math.nan if item is None else self._read(item)
        self._values = values

    def fill(self, op: str, value: Value, now: int, out: Mask) -> None:
        """Set `out` where the number `is`, is `at_least` or `at_most`, or the time is `newer`, `older`, `before`, `after`."""
        limit: Any = moment(value) if isinstance(value, str) else float(value)  # type: ignore[arg-type]
        values = self._values[: len(out)]
        if op.endswith("_days"):
            limit = now - limit * DAY
        held = {
            "is": np.equal,
            "at_least": np.greater_equal,
            "after": np.greater_equal,
            "newer_than_days": np.greater_equal,
            "at_most": np.less_equal,
            "before": np.less,
            "older_than_days": np.less,
        }[op]
        held(values, limit, out=out[: len(values)])


class IdColumn:
    """The id by slot, found in the catalogue itself."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def take(self, changes: Changes, n: int) -> None:
        """Nothing is kept."""

    def fill(self, op: str, value: Value, now: int, out: Mask) -> None:
        """Set `out` where the id is the value, or one of them."""
        for one in value if isinstance(value, tuple) else (str(value),):
            slot = self._catalog.slot(one)
            if 0 <= slot < len(out):
                out[slot] = True


def words_of(text: str) -> list[str]:
    """Return the words of a text, in the form in which they are compared."""
    return _WORD.findall(text.casefold())


def column_of(attribute: str, kind: Kind, catalog: Catalog) -> Column:
    """Return an empty column for an attribute of the application or of every item."""
    if kind == "id":
        return IdColumn(catalog)
    if kind in ("number", "time", "flag"):
        return NumberColumn(lambda item: _number(_of(item, attribute), kind))
    terms = {"category": _path_terms, "tags": _tag_terms, "text": _text_terms}[kind]
    return PostingsColumn(lambda item: terms(_of(item, attribute)))


def _of(item: Item, attribute: str) -> Any:
    return getattr(item, attribute) if attribute in Item.__struct_fields__ else item.attributes.get(attribute)


def _number(value: Any, kind: Kind) -> float:
    if value is None or not isinstance(value, int | float) or (kind == "time" and not value):
        return math.nan
    return float(value)


def _path_terms(value: Any) -> list[str]:
    whole = path(value) if isinstance(value, str) else ""
    parts = whole.split(" > ") if whole else []
    return ["=" + whole, *(">" + " > ".join(parts[: depth + 1]) for depth in range(len(parts)))]


def _tag_terms(value: Any) -> list[str]:
    return ["=" + str(tag) for tag in value or ()]


def _text_terms(value: Any) -> list[str]:
    text = value if isinstance(value, str) else ""
    return ["=" + text, *("~" + word for word in words_of(text))]
