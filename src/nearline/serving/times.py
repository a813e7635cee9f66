"""Times as clients send them: seconds, milliseconds, or ISO 8601 with a zone."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from nearline.schema.errors import NearlineError
from nearline.serving.bodies import shown

FIRST = 631_152_000_000
"""1990-01-01 UTC in ms; before it nothing is believed."""
LAST = 4_102_444_800_000
"""2100-01-01 UTC in ms."""
_SECONDS_BELOW = 100_000_000_000
"""A smaller number is seconds (up to the year 5138); from here it is ms (since 1973)."""
_FORMS = "give s or ms since 1970 in UTC, or ISO 8601 with a zone such as 2024-05-01T12:00:00Z"


def milliseconds(value: int | float | str, field: str) -> int:
    """Return a time as ms UTC.

    Raises:
        NearlineError: it is none, or before 1990 or after 2100.
    """
    if type(value) is int:
        time = value if value >= _SECONDS_BELOW else value * 1000
    elif type(value) is float and abs(value) < 1e300:
        scaled = value if value >= _SECONDS_BELOW else value * 1000
        if not math.isfinite(scaled):  # a number below -1e305 overflows when it is taken for seconds
            raise NearlineError(field, shown(value), _FORMS)
        time = round(scaled)
    elif type(value) is str:
        time = _from_text(value, field)
    else:
        raise NearlineError(field, shown(value), _FORMS)
    if not FIRST <= time < LAST:
        raise NearlineError(field, shown(value), f"{_FORMS}; between 1990 and 2100")
    return time


def readable(time: int) -> str:
    """Return ms UTC as text."""
    return datetime.fromtimestamp(time / 1000, UTC).isoformat(timespec="seconds")


def _from_text(value: str, field: str) -> int:
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise NearlineError(field, shown(value), f"its zone is missing; {_FORMS}")
        return round(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise NearlineError(field, shown(value), _FORMS) from None
