"""What looking at a system came to: one thing each, with what to do about it."""

from __future__ import annotations

from typing import Literal

import msgspec

Level = Literal["ok", "grow", "warning", "wrong"]
"""`grow`: nothing is wrong, and the system has come to where another stage is better."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at.

    Attributes:
        level: how it is.
        what: that was looked at.
        value: that was found.
        why: it matters; "" where all is well.
        remedy: what to do; "" where all is well.
    """

    level: Level
    what: str
    value: str
    why: str = ""
    remedy: str = ""
