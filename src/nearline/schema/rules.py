"""Rules without code: on which requests, for which items, one action, for how long."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from nearline.schema.conditions import Condition, Kind, all_checked
from nearline.schema.errors import NearlineError
from nearline.schema.event import DEVICES
from nearline.schema.query import SURFACES, Query

KIND = "rule"
"""The declarations that are rules."""
MOST_RULES = 500
"""Rules at once."""
PAGE = "page."
"""Before the attributes of the item that the request's page is about."""
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
REQUEST_KINDS: Mapping[str, Kind] = {
    "surface": "name",
    "device": "name",
    "locale": "locale",
    "location": "name",
    "hour": "number",
    "weekday": "name",
    "known": "flag",
    "signed_in": "flag",
}
"""What `when` may ask of a request: hour (0 to 23) and weekday in UTC; known: something of the visitor is remembered."""
CHOICES = {"surface": SURFACES, "device": DEVICES, "weekday": WEEKDAYS}
MOST_FACTOR, MOST_PLACE, MOST_PRIORITY = 1000.0, 100, 1_000_000
PIN, AT_LEAST, AT_MOST = 0, 1, 2
"""Codes of what `InForce.places` holds."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}").fullmatch


class Action(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    """What a rule does with the items that it is for."""


class Boost(Action, frozen=True, tag="boost"):
    """Multiply their scores by a factor above 1."""

    factor: float


class Bury(Action, frozen=True, tag="bury"):
    """Divide their scores by a factor above 1."""

    factor: float


class Exclude(Action, frozen=True, tag="exclude"):
    """Leave them out of lists."""


class Pin(Action, frozen=True, tag="pin"):
    """Put the best of them at a position, from 1."""

    position: int


class AtLeast(Action, frozen=True, tag="at_least"):
    """Have at least `count` of them among the first `first`, where there are so many; say `label` of them there."""

    count: int
    first: int
    label: str = ""


class AtMost(Action, frozen=True, tag="at_most"):
    """Have at most `count` of them among the first `first`, as long as other items are left."""

    count: int
    first: int


AnyAction = Boost | Bury | Exclude | Pin | AtLeast | AtMost
ACTIONS: Mapping[str, type[Action]] = {
    "boost": Boost,
    "bury": Bury,
    "exclude": Exclude,
    "pin": Pin,
    "at_least": AtLeast,
    "at_most": AtMost,
}


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A rule as it is declared.

    Attributes:
        name: what it is found by; over HTTP it stands in the path.
        action: what to do.
        where: conditions that an item must meet, all of them.
        when: conditions that the request must meet, all of them; attributes of the page's item begin with `page.`.
        starts, ends: when it is in force, with a zone; `ends` itself is out.
        priority: a higher one goes first where two rules want the same place.
    """

    name: str = ""
    action: AnyAction
    where: Sequence[Condition] = ()
    when: Sequence[Condition] = ()
    starts: datetime | None = None
    ends: datetime | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class InForce:
    """The rules that a request is under, as numbers; those of an action may be none.

    Attributes:
        names: of all rules, in force or not, by place.
        bits: bit by place, set where an item meets the rule's `where`, `[n_slots, words] uint64`.
        exclude, adjust, arrange: bits of the rules in force with such an action, `[words] uint64`, `None` for no rule.
        factors: by place, 1 for what does not adjust, `[n_rules] float32`.
        places: pins and quotas in force, highest priority first: rows of place, `PIN` or `AT_LEAST` or `AT_MOST`, count
            (of a pin 1), and how many of the first places (of a pin its position), `[n, 4] int32`.
        labels: by place.
        key: the same for the same rules of the same version.
    """

    names: tuple[str, ...]
    bits: NDArray[np.uint64]
    exclude: NDArray[np.uint64] | None
    adjust: NDArray[np.uint64] | None
    arrange: NDArray[np.uint64] | None
    factors: NDArray[np.float32]
    places: NDArray[np.int32]
    labels: tuple[str, ...]
    key: tuple[int, bytes]

    def holds(self, name: str) -> bool:
        """Return whether a rule is among those in force."""
        place = self.names.index(name) if name in self.names else -1
        return place >= 0 and bool(self.key[1][place >> 3] >> (place & 7) & 1)


class Rules(Protocol):
    """The rules that are declared."""

    def in_force(self, query: Query, known: bool) -> InForce | None:
        """Return the rules that a request is under, `None` for none.

        Args:
            known: whether something of the visitor is remembered.
        """
        ...

    def renew(self, now: int) -> None:
        """Bring what is made of the rules up to date; called beside the requests."""
        ...


def checked_rule(rule: Rule, kinds: Mapping[str, Kind]) -> Rule:
    """Return a rule in its one form.

    Args:
        kinds: attributes of items.

    Raises:
        NearlineError: what is wrong with it, with field, value and remedy.
    """
    if not isinstance(rule.name, str) or not _NAME(rule.name):
        remedy = "use up to 64 letters, digits, spaces and . _ -, beginning with a letter or digit"
        raise NearlineError("name", rule.name, remedy)
    if rule.name == "preview":
        raise NearlineError("name", rule.name, "use another name: this one is a path of the API")
    if isinstance(rule.priority, bool) or not isinstance(rule.priority, int) or abs(rule.priority) > MOST_PRIORITY:
        raise NearlineError("priority", rule.priority, f"give a whole number from -{MOST_PRIORITY:,} to {MOST_PRIORITY:,}")
    _check_action(rule.action)
    if not rule.where:
        raise NearlineError("where", [], "say which items it is for: give at least one condition")
    asked = {**REQUEST_KINDS, **{PAGE + name: kind for name, kind in kinds.items()}}
    when = all_checked(rule.when, asked, "when")
    for place, condition in enumerate(when):
        _check_choice(condition, f"when[{place}].value")
    for name, moment in (("starts", rule.starts), ("ends", rule.ends)):
        if moment is not None and moment.tzinfo is None:
            raise NearlineError(name, moment.isoformat(), "give its zone, such as 2026-12-01T00:00:00Z")
    if rule.starts is not None and rule.ends is not None and rule.ends <= rule.starts:
        raise NearlineError("ends", rule.ends.isoformat(), "let it end after it starts")
    return msgspec.structs.replace(rule, where=all_checked(rule.where, kinds, "where"), when=when)


def _check_action(action: AnyAction) -> None:
    if not isinstance(action, AnyAction):
        raise NearlineError("action", action, f"give one of {', '.join(kind.__name__ for kind in ACTIONS.values())}")
    if isinstance(action, Boost | Bury):
        factor = action.factor
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not 1 < factor <= MOST_FACTOR:
            raise NearlineError("action.factor", factor, f"give a number above 1, at most {MOST_FACTOR:,.0f}")
    if isinstance(action, Pin):
        _check_whole("action.position", action.position, 1)
    if isinstance(action, AtLeast | AtMost):
        _check_whole("action.count", action.count, 1 if isinstance(action, AtLeast) else 0)
        _check_whole("action.first", action.first, 1)
        if action.count > action.first:
            raise NearlineError("action.count", action.count, "ask for no more than the places there are in `first`")
    if isinstance(action, AtLeast) and (not isinstance(action.label, str) or len(action.label) > 64 or "\0" in action.label):
        raise NearlineError("action.label", action.label, "give at most 64 characters, without NUL")


def _check_whole(field: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MOST_PLACE:
        raise NearlineError(field, value, f"give a whole number from {least} to {MOST_PLACE}")


def _check_choice(condition: Condition, field: str) -> None:
    choices = CHOICES.get(condition.attribute)
    if choices is None:
        return
    for value in condition.value if isinstance(condition.value, tuple) else (condition.value,):
        if value not in choices:
            raise NearlineError(field, value, f"use one of {', '.join(choice for choice in choices if choice)}")
