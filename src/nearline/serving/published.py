"""Published lists: a rung of the ladder, read from a store for visitors whose list could not be made in time."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from nearline.schema.candidates import NOTHING, Retrieved
from nearline.schema.clock import WallClock
from nearline.schema.components import World
from nearline.schema.errors import StoreUnavailableError
from nearline.schema.ids import keys
from nearline.schema.query import SURFACES, Query
from nearline.schema.result import Result
from nearline.stores.subscriber import ResultStore

logger = logging.getLogger("nearline.published")
PAUSE = 0.25
"""Seconds between two questions to a store that does not answer; no request waits for these."""
READERS = 4
"""Questions under way at once."""


class PublishedLists:
    """What `nearline publish` left in a store.

    A store that does not answer in time is not asked for requests any more, until a thread beside them has had an answer.

    Args:
        store: with a timeout that a request can bear.
        world: gives items their slots.
        timeout: seconds that a request waits at most.
    """

    def __init__(self, store: ResultStore, world: World, timeout: float) -> None:
        self._store, self._world, self._timeout = store, world, timeout
        self._readers = ThreadPoolExecutor(READERS, "nearline-published")
        self._lock, self._released = threading.Lock(), threading.Event()
        self.answers = True

    async def of(self, query: Query) -> Retrieved:
        """Return the list that was published for a visitor and surface, best first; empty where there is none, or no answer."""
        if not (query.user_id and self.answers):
            return NOTHING
        reading = asyncio.get_running_loop().run_in_executor(self._readers, self._read, query.user_id, query.surface)
        done, _ = await asyncio.wait([reading], timeout=self._timeout)
        if done:
            return reading.result()
        self._missed()
        return NOTHING

    def forget(self, user_id: str, offset: int, tenant: str) -> None:
        """Have a user's lists emptied beside the requests, since his data is erased; `nearline publish` does so too."""
        now = WallClock().now()
        gone = [Result(tenant, user_id, surface, [], offset, "none", now, f"-{surface}") for surface in SURFACES]

        def act() -> None:
            try:
                self._store.deliver(gone)
            except StoreUnavailableError as error:
                logger.warning("an erased user's lists wait for the publisher to empty them", extra={"error": str(error)})

        self._readers.submit(act)

    def _read(self, user_id: str, surface: str) -> Retrieved:
        if not self.answers:
            return NOTHING  # asked when the one before was found silent
        try:
            found = self._store.latest(user_id, surface)
        except StoreUnavailableError:
            self._missed()
            return NOTHING
        except Exception:
            logger.exception("a published list can't be read")
            return NOTHING
        if found is None or not found.items:
            return NOTHING
        slots = self._world.item_slots(keys(item.item_id for item in found.items))
        known = slots >= 0
        scores = np.array([item.score for item in found.items], np.float32)[known]
        return Retrieved(slots[known], scores, np.full(int(known.sum()), -1, np.int32))

    def _missed(self) -> None:
        with self._lock:
            if not self.answers:
                return
            self.answers = False
        threading.Thread(target=self._await, name="nearline-published-away", daemon=True).start()

    def _await(self) -> None:
        logger.warning("the store of published lists does not answer; what trends serves")
        while not self._released.wait(PAUSE):
            try:
                self._store.latest("", "homepage")
            except StoreUnavailableError:
                continue
            except Exception:
                logger.exception("a published list can't be read")
            self.answers = True
            logger.info("the store of published lists answers again")
            return

    def release(self) -> None:
        """Let go of the store."""
        self._released.set()
        self._readers.shutdown(wait=False)
        self._store.close()
