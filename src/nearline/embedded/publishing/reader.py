"""A world that follows the log beside the servers, and writes nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.stores.log import Log, Position, Tail
from nearline.stores.polling import PollingTail
from nearline.stream.local import LocalStream

logger = logging.getLogger("nearline.publish")
PAUSE = 0.5
"""Seconds between two tries of a log that can't be read."""
LOOK = 0.02
"""Seconds between two looks at a log that can't tell."""


def tail_of(log: Log, at: Mapping[Position, int]) -> Tail:
    """Return a reader of what comes, which leaves a log that is a file to its writer most of the time."""
    return log.tail(at) if log.shared else PollingTail(log, at, lambda seconds: time.sleep(min(LOOK, max(0.0, seconds))))


class WorldReader:
    """Folds what comes to the log into a world of its own.

    Args:
        log: open to read.
        stream: restored already.
    """

    def __init__(self, log: Log, stream: LocalStream) -> None:
        self._log, self._stream, self._tail = log, stream, tail_of(log, stream.positions(log))

    def follow(self, seconds: float) -> None:
        """Fold what has come since, waiting up to `seconds` for anything.

        Raises:
            NearlineError: the log no longer has what comes next; the lake has, and a start reads it.
        """
        try:
            pages = self._tail.next(seconds)
        except StoreUnavailableError as error:
            logger.warning("the log can't be read; trying again", extra={"error": str(error)})
            self._tail.close()
            time.sleep(PAUSE)
            self._tail = tail_of(self._log, self._stream.positions(self._log))
            return
        done = self._stream.positions(self._log) if pages else {}
        for page in pages:
            if 0 < done[page.topic, page.partition] < page.first:
                remedy = f"the log begins at {page.first} by now; start again"
                raise NearlineError(f"{page.topic} offset", done[page.topic, page.partition], remedy)
            self._stream.take(page)
            done[page.topic, page.partition] = page.end

    def close(self) -> None:
        """Let go of the connection."""
        self._tail.close()
