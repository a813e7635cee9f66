"""Domain time. Deadlines use the monotonic clock instead and never pass through here."""

from __future__ import annotations

import time
from typing import Protocol

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class Clock(Protocol):
    """The time of the domain, in milliseconds UTC."""

    def now(self) -> int:
        """Return milliseconds since the epoch, UTC."""
        ...


class WallClock:
    """The machine's own time."""

    def now(self) -> int:
        """Return milliseconds since the epoch, UTC."""
        return time.time_ns() // 1_000_000


class DataClock:
    """Time anchored at the last event of imported history, so that decay and expiry follow the data.

    Args:
        anchor: the data's time, ms UTC, at the moment `since` of the wall clock.
        since: ms UTC of the wall clock.
    """

    def __init__(self, anchor: int, since: int, wall: Clock | None = None) -> None:
        self.anchor, self.since, self.wall = anchor, since, wall or WallClock()

    def now(self) -> int:
        """Return milliseconds since the epoch, UTC, on the data's time line."""
        return self.anchor + (self.wall.now() - self.since)


class VirtualClock:
    """A clock that moves only when told to; for tests and replays."""

    def __init__(self, now: int) -> None:
        self.time = now

    def now(self) -> int:
        """Return the time it was set to, ms UTC."""
        return self.time

    def advance(self, milliseconds: int) -> int:
        """Move forward and return the new time, ms UTC."""
        self.time += milliseconds
        return self.time
