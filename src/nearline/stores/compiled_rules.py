"""Rules as numbers: bits by item for what they are for, and by kind of request which are in force."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from nearline.schema.clock import DAY, HOUR
from nearline.schema.conditions import OPPOSITES, Condition, is_timed
from nearline.schema.ids import key
from nearline.schema.kernel import b1, i8, kernel, u8
from nearline.schema.query import Query
from nearline.schema.rules import (
    AT_LEAST,
    AT_MOST,
    PAGE,
    PIN,
    WEEKDAYS,
    AtLeast,
    AtMost,
    Boost,
    Bury,
    Exclude,
    InForce,
    Pin,
    Rule,
)
from nearline.stores.attribute_index import AttributeIndex
from nearline.stores.catalog import Catalog

MOST_CONTEXTS = 4096
"""Kinds of request remembered."""
Words = NDArray[np.uint64]
_serial = itertools.count()


@kernel(b1[::1], u8[:, ::1], i8, i8)
def _note(mask: NDArray[np.bool_], bits: Words, word: int, bit: int) -> None:
    """Set a bit of each slot where the mask is true."""
    one = np.uint64(1) << np.uint64(bit)
    for slot in range(min(len(mask), len(bits))):
        if mask[slot]:
            bits[slot, word] |= one


class CompiledRules:
    """Some rules over the catalogue as it is.

    Args:
        rules: checked, highest priority first.
        attributes: which items meet conditions.
        catalog: of the items.
        now: ms UTC, for conditions on age.

    Attributes:
        timed: whether what it is made of changes as time goes by.
    """

    def __init__(self, rules: Sequence[Rule], attributes: AttributeIndex, catalog: Catalog, now: int) -> None:
        # Those of a kind side by side: what reads their bits then reads few words.
        self.rules, self._catalog = tuple(sorted(rules, key=_kind)), catalog
        self._serial = next(_serial)
        self._words = max(1, -(-len(self.rules) // 64))
        self.timed = any(is_timed((*rule.where, *rule.when)) for rule in self.rules)
        self._names = tuple(rule.name for rule in self.rules)
        self._labels = tuple(rule.action.label if isinstance(rule.action, AtLeast) else "" for rule in self.rules)
        self._factors = np.array([_factor(rule) for rule in self.rules], np.float32)
        self._bits = self._over_items([tuple(rule.where) for rule in self.rules], attributes, now)
        on_page = [_page_conditions(rule) for rule in self.rules]
        self._page = self._over_items(on_page, attributes, now) if any(on_page) else None
        self._anywhere = self._packed([not conditions for conditions in on_page])
        self._of_request = [tuple(c for c in rule.when if not c.attribute.startswith(PAGE)) for rule in self.rules]
        self._distinct = tuple({c: None for conditions in self._of_request for c in conditions})
        self._spans = [(_ms(rule.starts, 0), _ms(rule.ends, 1 << 62)) for rule in self.rules]
        self._edges = sorted({edge for span in self._spans for edge in span})
        self._contexts: dict[tuple[Any, ...], Words] = {}
        self._forces: dict[bytes, InForce | None] = {}

    def in_force(self, query: Query, known: bool) -> InForce | None:
        """Return the rules that a request is under, `None` for none."""
        if not self.rules:
            return None
        hour = query.now // HOUR % 168
        edge = bisect_right(self._edges, query.now)
        context = (query.surface, query.device, query.locale, query.location, hour, known, bool(query.user_id), edge)
        words = self._contexts.get(context)
        if words is None:
            words = self._within(query, known)
            if len(self._contexts) >= MOST_CONTEXTS:
                self._contexts.clear()
            self._contexts[context] = words
        if self._page is not None:
            slot = self._catalog.state.items.find_one(key(query.item_id)) if query.item_id else -1
            words = words & (self._page[slot] if 0 <= slot < len(self._page) else self._anywhere)
        mark = words.tobytes()
        if mark not in self._forces:
            if len(self._forces) >= MOST_CONTEXTS:
                self._forces.clear()
            self._forces[mark] = self._force(words, mark)
        return self._forces.get(mark)

    def _within(self, query: Query, known: bool) -> Words:
        """Return the rules whose dates and conditions on the request, its page's item aside, hold."""
        values = {
            "surface": query.surface,
            "device": query.device,
            "locale": query.locale,
            "location": query.location,
            "hour": query.now // HOUR % 24,
            # 1 January 1970 was a Thursday.
            "weekday": WEEKDAYS[(query.now // DAY + 3) % 7],
            "known": known,
            "signed_in": bool(query.user_id),
        }
        held = {condition: _holds(condition, values) for condition in self._distinct}
        return self._packed(
            [
                starts <= query.now < ends and all(held[condition] for condition in conditions)
                for (starts, ends), conditions in zip(self._spans, self._of_request, strict=True)
            ]
        )

    def _force(self, words: Words, mark: bytes) -> InForce | None:
        places = [place for place in range(len(self.rules)) if int(words[place >> 6]) >> (place & 63) & 1]
        if not places:
            return None

        def of(*kinds: type) -> Words | None:
            chosen = {place for place in places if isinstance(self.rules[place].action, kinds)}
            return self._packed([place in chosen for place in range(len(self.rules))]) if chosen else None

        rows = [row for place in places if (row := _row(place, self.rules[place])) is not None]
        return InForce(
            names=self._names,
            bits=self._bits,
            exclude=of(Exclude),
            adjust=of(Boost, Bury),
            arrange=of(Pin, AtLeast, AtMost),
            factors=self._factors,
            places=np.array(rows, np.int32).reshape(-1, 4),
            labels=self._labels,
            key=(self._serial, mark),
        )

    def _over_items(self, groups: Sequence[tuple[Condition, ...]], attributes: AttributeIndex, now: int) -> Words:
        """Return the bits of conditions by slot; those of no condition hold everywhere."""
        bits = np.zeros((len(self._catalog.ids) if groups else 0, self._words), np.uint64)
        for place, conditions in enumerate(groups):
            mask = attributes.mask(conditions, now) if conditions else np.ones(len(bits), np.bool_)
            _note(mask, bits, place >> 6, place & 63)
        return bits

    def _packed(self, flags: Sequence[bool]) -> Words:
        words = [0] * self._words
        for place, flag in enumerate(flags):
            words[place >> 6] |= int(flag) << (place & 63)
        return np.array(words, np.uint64)


def _page_conditions(rule: Rule) -> tuple[Condition, ...]:
    """Return the conditions on the page's item, as conditions on an item."""
    found = [condition for condition in rule.when if condition.attribute.startswith(PAGE)]
    return tuple(msgspec.structs.replace(one, attribute=one.attribute.removeprefix(PAGE)) for one in found)


def _holds(condition: Condition, values: Mapping[str, Any]) -> bool:
    given, wanted = values[condition.attribute], condition.value
    op = OPPOSITES.get(condition.op, condition.op)
    if isinstance(wanted, tuple):
        held = given in wanted
    elif op == "at_least":
        held = given >= wanted
    elif op == "at_most":
        held = given <= wanted
    elif op == "under":
        # A locale is under its language: de-AT under de.
        held = given.replace("_", "-").casefold().startswith(str(wanted).replace("_", "-").casefold() + "-") or given == wanted
    else:
        held = given == wanted
    return bool(held) == (op == condition.op)


def _factor(rule: Rule) -> float:
    action = rule.action
    return action.factor if isinstance(action, Boost) else 1 / action.factor if isinstance(action, Bury) else 1.0


def _kind(rule: Rule) -> int:
    return 0 if isinstance(rule.action, Exclude) else 1 if isinstance(rule.action, Boost | Bury) else 2


def _row(place: int, rule: Rule) -> tuple[int, int, int, int] | None:
    action = rule.action
    if isinstance(action, Pin):
        return place, PIN, 1, action.position
    if isinstance(action, AtLeast | AtMost):
        return place, AT_LEAST if isinstance(action, AtLeast) else AT_MOST, action.count, action.first
    return None


def _ms(moment: Any, default: int) -> int:
    return default if moment is None else round(moment.timestamp() * 1000)
