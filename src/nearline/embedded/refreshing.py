"""Learning of releases that others published, beside everything else: a registry may hang."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from nearline.stores.releases import ReleaseStore

logger = logging.getLogger("nearline.releases")
REFRESH = 2.0
"""Seconds between looks at the registry of releases."""


def refreshing(releases: ReleaseStore) -> Callable[[], None]:
    """Refresh releases again and again, on a thread that nobody waits for; return what ends it."""
    ended = threading.Event()

    def run() -> None:
        said = False
        while not ended.is_set():
            try:
                releases.refresh()
                said = False
            except Exception as error:
                if not said:
                    logger.warning("the registry of releases is not read", extra={"error": str(error)})
                said = True
            ended.wait(REFRESH)

    threading.Thread(target=run, daemon=True, name="nearline-releases").start()
    return ended.set
