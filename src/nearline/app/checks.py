"""What makes the rest of a definition wrong: its name, attributes, components and weights."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from nearline.app.attributes import BUILT_IN, KINDS, Attribute
from nearline.app.event_types import is_number
from nearline.schema.conditions import Kind
from nearline.schema.errors import NearlineError
from nearline.schema.event import EventType
from nearline.schema.rules import Rule, checked_rule

Shape = tuple[tuple[str, ...], tuple[str, ...]]
"""What a component must have: values, methods."""

FEATURE: Shape = (("name", "columns", "folds", "time_based"), ("read",))
SOURCE: Shape = (("name", "quota", "time_based", "reason", "folds", "state"), ("fit", "bind", "fetch"))
RANKER: Shape = (("name",), ("fit", "load", "score"))
FILTER: Shape = (("name",), ("bind", "keep"))
ADJUSTMENT: Shape = (("name",), ("bind", "adjust"))
ARRANGEMENT: Shape = (("name",), ("bind", "arrange"))


def check_name(name: object) -> None:
    """Refuse an application's name that could not be a folder or a label."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        remedy = "use up to 64 letters, digits, - and _, beginning with a letter or digit"
        raise NearlineError("App.name", name, remedy)


def check_attributes(attributes: object) -> dict[str, Attribute]:
    """Return the declared attributes, checked."""
    if not isinstance(attributes, Mapping):
        raise NearlineError("App.attributes", attributes, 'give a dict, such as {"color": Category()}')
    kinds = ", ".join(f"{kind.__name__}()" for kind in KINDS)
    for name, kind in attributes.items():
        where = f'App.attributes["{name}"]'
        if not isinstance(name, str) or not name.strip() or name != name.strip():
            raise NearlineError("App.attributes", name, "give each attribute a name, without spaces around it")
        if isinstance(kind, type) or not isinstance(kind, KINDS):
            raise NearlineError(where, kind, f"give one of {kinds}")
        if not isinstance(kind.source_field, str):
            raise NearlineError(f"{where}.source_field", kind.source_field, "give the name of a field, or nothing")
        own = BUILT_IN.get(name, type(kind))
        if not isinstance(kind, own):
            remedy = f"every item has this field: give {own.__name__}(...) or another name"
            raise NearlineError(where, kind, remedy)
    return dict(attributes)


def check_weights(weights: object, types: Sequence[EventType]) -> dict[str, float]:
    """Return the weight of each outcome; one not given has its event type's."""
    own = {kind.name: float(kind.weight) for kind in types if kind.outcome}
    if weights is None:
        return own
    if not isinstance(weights, Mapping):
        raise NearlineError("App.weights", weights, 'give a dict, such as {"click": 1.0, "purchase": 10.0}')
    for name, weight in weights.items():
        if name not in own:
            near = get_close_matches(str(name), own, 1)
            hint = f'did you mean "{near[0]}"?' if near else f"the outcomes are {', '.join(own)}"
            raise NearlineError("App.weights", name, f"weigh declared outcomes only: {hint}")
        if not is_number(weight):
            raise NearlineError(f'App.weights["{name}"]', weight, "give a finite number")
    return own | {name: float(weight) for name, weight in weights.items()}


def check_component(where: str, component: object, *shapes: Shape) -> None:
    """Refuse what has the values and methods of none of the shapes."""
    if isinstance(component, type):
        remedy = f"give an instance: {component.__name__}()"
        raise NearlineError(where, component.__name__, remedy)
    named = type(component).__name__
    values, methods = min(shapes, key=lambda shape: len(_lacking(component, shape)))
    lacking = _lacking(component, (values, methods))
    if lacking:
        remedy = f"add {', '.join(lacking)} (see nearline.schema.components)"
        raise NearlineError(where, named, remedy)
    name: Any = getattr(component, "name")  # noqa: B009 - any object may stand here
    if not isinstance(name, str) or not name.strip():
        raise NearlineError(f"{where}.name", name, f"give {named} a name that is not empty")


def check_components(where: str, components: object, *shapes: Shape) -> tuple[Any, ...] | None:
    """Return components as a tuple, checked one by one and for names that occur twice; None stays None."""
    if components is None:
        return None
    if isinstance(components, str) or not isinstance(components, Sequence):
        remedy = "give a list of components, or leave it out for the defaults"
        raise NearlineError(where, components, remedy)
    names: set[str] = set()
    for place, component in enumerate(components):
        check_component(f"{where}[{place}]", component, *shapes)
        if component.name in names:
            raise NearlineError(f"{where}[{place}].name", component.name, "give each one a name of its own")
        names.add(component.name)
    return tuple(components)


def check_rules(rules: object, kinds: Mapping[str, Kind]) -> tuple[tuple[Any, ...] | None, tuple[Rule, ...]]:
    """Return the components among the rules, None where there are none, and the rules without code, checked."""
    declared: dict[str, Rule] = {}
    components: list[Any] = []
    for place, rule in enumerate(rules if isinstance(rules, Sequence) and not isinstance(rules, str) else ()):
        if not isinstance(rule, Rule):
            components.append(rule)
            continue
        where = f"App.rules[{place}]"
        try:
            checked = checked_rule(rule, kinds)
        except NearlineError as error:
            raise NearlineError(f"{where}.{error.field}", error.value, error.remedy) from None
        if checked.name in declared:
            raise NearlineError(f"{where}.name", rule.name, "give each one a name of its own")
        declared[checked.name] = checked
    given: object = rules if not declared else components or None
    return check_components("App.rules", given, FILTER, ADJUSTMENT, ARRANGEMENT), tuple(declared.values())


def check_columns(features: Sequence[Any] | None) -> None:
    """Refuse features without columns, and columns that two features share."""
    owner: dict[str, str] = {}
    for place, feature in enumerate(features or ()):
        where = f"App.features[{place}].columns"
        columns = feature.columns
        if isinstance(columns, str) or not isinstance(columns, Sequence) or not columns:
            raise NearlineError(where, columns, "name at least one column, in a tuple")
        for column in columns:
            if not isinstance(column, str) or not column.strip():
                raise NearlineError(where, column, "give each column a name")
            if column in owner:
                remedy = f"rename it; {owner[column]} has a column of that name"
                raise NearlineError(where, column, remedy)
            owner[column] = feature.name


def _lacking(component: object, shape: Shape) -> list[str]:
    values, methods = shape
    lacking = [name for name in values if not hasattr(component, name)]
    return lacking + [f"{name}()" for name in methods if not callable(getattr(component, name, None))]
