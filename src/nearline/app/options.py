"""Options: arguments that the settings give to default components, checked before anything is made."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from nearline.app.nearest import nearest
from nearline.schema.errors import NearlineError

Options = Mapping[str, Mapping[str, float]]
"""By component and argument."""


def made(kind: type, options: Options) -> Any:
    """Return a component with the arguments that the settings give it.

    Raises:
        NearlineError: it has no such argument, or takes no such number.
    """
    name: str = getattr(kind, "name", "")
    given = options.get(name, {})
    known = numbers(kind) if given else {}
    arguments: dict[str, float] = {}
    for word, value in given.items():
        place = f"components.options.{name}.{word}"
        if word not in known:
            remedy = nearest(word, known) if known else "it takes no numbers"
            raise NearlineError(place, value, f"{name} has no such argument: {remedy}")
        whole = isinstance(known[word], int)
        if whole and value != int(value):
            raise NearlineError(place, value, f"give a whole number, as its default {known[word]} is")
        arguments[word] = int(value) if whole else float(value)
    return kind(**arguments)


def numbers(kind: type) -> dict[str, float]:
    """Return the arguments of a component that are numbers, with their defaults."""
    parameters = inspect.signature(kind).parameters.values()
    return {p.name: p.default for p in parameters if isinstance(p.default, int | float) and not isinstance(p.default, bool)}


def check_names(options: Options, known: Mapping[str, Any]) -> None:
    """Refuse options of a component that the application does not take from the defaults.

    Raises:
        NearlineError: with the nearest name.
    """
    for name, values in options.items():
        if name not in known:
            remedy = f"{nearest(name, known)} (what the application makes itself gets its arguments there)"
            raise NearlineError(f"components.options.{name}", dict(values), f"no default component has that name: {remedy}")
