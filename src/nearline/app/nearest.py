"""What somebody may have meant by a name that there is not."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the remedy for a wrong name: the nearest right one, or all of them."""
    names = sorted(known)
    near = get_close_matches(name, names, 1, 0.5)
    return f"did you mean {near[0]}?" if near else f"use one of {', '.join(names)}"
