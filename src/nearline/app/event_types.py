"""The well-known event types, and what makes a declaration of events wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from difflib import get_close_matches

import msgspec

from nearline.schema.errors import NearlineError
from nearline.schema.event import EventType, Role, Suppression

ROLE_NAMES = tuple(role.name.lower() for role in Role if role != Role.DECLARED)
SCOPES = ("item", "category")
MOST_TYPES = 239
"""A type's place must fit the `kind` of `EVENT`; 0 is "unknown", and those from 240 on are reserved."""
MOST_DAYS = 36_500
FOREVER = (Suppression("item"),)

WELL_KNOWN: dict[str, EventType] = {
    kind.name: kind
    for kind in (
        EventType("seen", 0.0, "exposure"),
        EventType("view", 1.0, "view"),
        EventType("click", 2.0, "click", outcome=True),
        EventType("watch", 3.0, "click", outcome=True, complete_from=0.8),
        EventType("add_to_cart", 4.0, "intent"),
        EventType("like", 4.0, "intent", outcome=True),
        EventType("rate", 3.0, "click", outcome=True, suppresses=FOREVER),
        EventType("purchase", 8.0, "conversion", outcome=True, suppresses=(Suppression("item", 30),)),
        EventType("search", 0.0, "search"),
        EventType("skip", -0.5, "negative", suppresses=(Suppression("item", 1),)),
        EventType("dislike", -5.0, "negative", suppresses=FOREVER),
        EventType("return", -3.0, "negative", suppresses=(Suppression("item", 365),)),
    )
}
"""What a bare name means. The weights order the types; what a shop earns from each it declares itself."""


def event_types(events: object) -> tuple[EventType, ...]:
    """Return declared events as types: a bare name gets its well-known meaning, else weight 1 and role click.

    Where none is declared to be an outcome, the positive clicks, intents and conversions become outcomes, and
    where there are none of these, the positive views.

    Raises:
        NearlineError: what is declared can't be right.
    """
    if isinstance(events, str) or not isinstance(events, Sequence) or not events:
        raise NearlineError("App.events", events, 'give a list of event types, such as ["view", "click"]')
    if len(events) > MOST_TYPES:
        raise NearlineError("App.events", len(events), f"declare at most {MOST_TYPES} event types")
    types: list[EventType] = []
    for place, given in enumerate(events):
        if not isinstance(given, str | EventType):
            raise NearlineError(f"App.events[{place}]", given, "give a name or an EventType(...)")
        kind = WELL_KNOWN.get(given, EventType(given)) if isinstance(given, str) else given
        _check_name(f"App.events[{place}]", kind.name)
        if any(kind.name == other.name for other in types):
            raise NearlineError(f"App.events[{place}].name", kind.name, "declare each event type once")
        _check(f'App.events["{kind.name}"]', kind)
        types.append(kind)
    return _with_outcomes(types)


def is_number(value: object) -> bool:
    """Return whether a value is a finite number, and not a truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_name(where: str, name: object) -> None:
    if not isinstance(name, str) or not name.strip() or name != name.strip():
        raise NearlineError(f"{where}.name", name, "give a name, without spaces around it")
    if name.startswith("$"):
        raise NearlineError(f"{where}.name", name, 'begin it with a letter; "$" is reserved for Nearline')


def _check(where: str, kind: EventType) -> None:
    if not is_number(kind.weight) or abs(kind.weight) > 1_000_000:
        remedy = "give a number between -1,000,000 and 1,000,000; negative for dislike and the like"
        raise NearlineError(f"{where}.weight", kind.weight, remedy)
    if not isinstance(kind.role, str) or kind.role not in ROLE_NAMES:
        near = get_close_matches(str(kind.role).lower(), ROLE_NAMES, 1)
        remedy = f'did you mean "{near[0]}"?' if near else f"use one of {', '.join(ROLE_NAMES)}"
        raise NearlineError(f"{where}.role", kind.role, remedy)
    if not isinstance(kind.outcome, bool):
        raise NearlineError(f"{where}.outcome", kind.outcome, "give True or False")
    share = kind.complete_from
    if share is not None and not (is_number(share) and 0 < share <= 1):
        raise NearlineError(f"{where}.complete_from", share, "give a share above 0 and up to 1, such as 0.8")
    full = kind.full_dwell
    if full is not None and not (is_number(full) and 0 < full <= 86_400):
        raise NearlineError(f"{where}.full_dwell", full, "give seconds above 0 and up to a day, such as 60")
    if isinstance(kind.suppresses, str) or not isinstance(kind.suppresses, Sequence):
        raise NearlineError(f"{where}.suppresses", kind.suppresses, 'give (Suppression("item", days=30),)')
    for place, rule in enumerate(kind.suppresses):
        _check_suppression(f"{where}.suppresses[{place}]", rule)


def _check_suppression(where: str, rule: object) -> None:
    if not isinstance(rule, Suppression):
        raise NearlineError(where, rule, 'give a Suppression, such as Suppression("item", days=30)')
    if rule.scope not in SCOPES:
        raise NearlineError(f"{where}.scope", rule.scope, 'use "item" or "category"')
    if rule.days is not None and not (is_number(rule.days) and 0 < rule.days <= MOST_DAYS):
        remedy = f"give days above 0 and up to {MOST_DAYS:,}, or None for ever"
        raise NearlineError(f"{where}.days", rule.days, remedy)


def _with_outcomes(types: list[EventType]) -> tuple[EventType, ...]:
    if any(kind.outcome for kind in types):
        return tuple(types)
    for roles in (("click", "intent", "conversion"), ("view",)):
        good = [kind.name for kind in types if kind.weight > 0 and kind.role in roles]
        if good:
            return tuple(msgspec.structs.replace(kind, outcome=True) if kind.name in good else kind for kind in types)
    names = [kind.name for kind in types]
    raise NearlineError("App.events", names, "mark one as what to predict: EventType(..., outcome=True)")
