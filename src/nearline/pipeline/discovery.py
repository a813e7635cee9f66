"""Discovery: a component is one file in its package; nothing else lists it."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Sequence
from functools import cache
from importlib import import_module

from nearline.schema.errors import NearlineError


def discover(package: str, has: Sequence[str]) -> dict[str, type]:
    """Return the components of a package by name, sorted by name.

    A component is a public class, defined in a module of the package, that has the attributes `has`, a text
    as its `name`, and a constructor that needs no argument. One with `default = False` is found like any
    other: whoever chooses defaults leaves it out.

    Args:
        package: such as `nearline.features`.
        has: attributes of the class, `name` included or not.

    Raises:
        NearlineError: two classes have the same name.
    """
    found: dict[str, type] = {}
    for kind in _classes(package):
        if not all(hasattr(kind, attribute) for attribute in has) or not _bare_constructor(kind):
            continue
        name = getattr(kind, "name", "")
        if not isinstance(name, str) or not name:
            continue
        if name in found:
            both = f"{found[name].__module__} and {kind.__module__}"
            raise NearlineError(f"{kind.__qualname__}.name", name, f"rename one: {both} both have it")
        found[name] = kind
    return dict(sorted(found.items()))


@cache
def _classes(package: str) -> tuple[type, ...]:
    root = import_module(package)
    out: list[type] = []
    for place in pkgutil.walk_packages(root.__path__, package + "."):
        module = import_module(place.name)
        out += [
            kind
            for name, kind in vars(module).items()
            if inspect.isclass(kind) and kind.__module__ == place.name and not name.startswith("_")
        ]
    return tuple(out)


def _bare_constructor(kind: type) -> bool:
    if inspect.isabstract(kind) or getattr(kind, "_is_protocol", False):
        return False
    try:
        parameters = inspect.signature(kind).parameters.values()
    except ValueError:
        return False
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return all(p.default is not p.empty or p.kind in optional for p in parameters)
