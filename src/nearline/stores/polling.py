"""A tail that asks its log again and again, for logs that can't push."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from nearline.stores.log import Log, Page, Position

LIMIT = 5_000
"""Records of a page at most."""
PAUSE = 0.002
"""Seconds between two questions."""


def pause(seconds: float) -> None:
    """Wait a moment, at most `seconds`."""
    time.sleep(min(PAUSE, max(0.0, seconds)))


class PollingTail:
    """Reads each partition from where it was.

    Args:
        log: read from.
        at: offsets to begin at.
        wait: returns when something may have come, after at most so many seconds.
    """

    def __init__(self, log: Log, at: Mapping[Position, int], wait: Callable[[float], None] = pause) -> None:
        self._at, self._wait = dict(at), wait
        self._logs = {place: log.partition(place[1]) for place in at}

    def next(self, seconds: float) -> list[Page]:
        """Return what has come since, waiting up to `seconds` for anything."""
        until = time.monotonic() + seconds
        while True:
            pages: list[Page] = []
            for (topic, place), log in self._logs.items():
                first, records = log.read(topic, self._at[topic, place], LIMIT)
                if records:
                    page = Page(topic, place, first, records)
                    self._at[topic, place] = page.end
                    pages.append(page)
            left = until - time.monotonic()
            if pages or left <= 0:
                return pages
            self._wait(left)

    def close(self) -> None:
        """Nothing is held."""
