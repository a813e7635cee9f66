"""What can be asked of an engine itself: one file an engine, by the scheme of its URL, with `diagnose(place)`."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from nearline.stores.adapters import scheme_of
from nearline.stores.finding import Finding


def diagnose(place: Any) -> Iterator[Finding]:
    """Yield what an engine says of itself; nothing where it has no file here.

    Args:
        place: a `LogPlace` or a `RowsPlace`.
    """
    scheme = scheme_of(place.url)
    if scheme in {module.name for module in pkgutil.iter_modules(__path__)}:
        yield from import_module(f"{__name__}.{scheme}").diagnose(place)
