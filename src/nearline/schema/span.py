"""Spans: where a component's argument may be looked for, by who tunes it."""

from __future__ import annotations

from typing import NamedTuple


class Span(NamedTuple):
    """The range of a number; whole where the argument's default is.

    Attributes:
        low, high: both are in it.
        log: whether it is looked for by orders of magnitude.
    """

    low: float
    high: float
    log: bool = False
