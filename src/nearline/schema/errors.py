"""Errors that a user can cause and mend."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class NearlineError(Exception):
    """A mistake in input or configuration, with what to do about it.

    Args:
        field: the field, key, or file that is wrong.
        value: what was found there.
        remedy: what to do, as an instruction.
        index: place in the batch, where the input was one.
    """

    def __init__(self, field: str, value: object, remedy: str, index: int | None = None) -> None:
        self.field, self.value, self.remedy, self.index = field, value, remedy, index
        super().__init__(f"{field} = {_short(value)}: {remedy}")


class StoreUnavailableError(Exception):
    """A store can't take the write now; nothing was lost and the caller may try again.

    Args:
        reason: what the store said.
        retry_after: seconds after which a retry makes sense.
    """

    def __init__(self, reason: str, retry_after: float = 1.0) -> None:
        self.reason, self.retry_after = reason, retry_after
        super().__init__(reason)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return '; did you mean "x"?' or, where nothing is near, the names there are."""
    names = list(known)
    near = get_close_matches(name, names, 1) if len(name) <= 64 else []
    return f'; did you mean "{near[0]}"?' if near else f"; there are {', '.join(names)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
