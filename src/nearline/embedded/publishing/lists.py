"""Lists for subscribers: the pipeline that serves, without a budget, without chance, without an impression."""

from __future__ import annotations

import logging
import threading

from nearline.app.binding import build_pipeline
from nearline.app.release import current_release
from nearline.app.tenant import Tenant
from nearline.embedded.refreshing import refreshing
from nearline.pipeline.pipeline import Pipeline
from nearline.schema.clock import WallClock
from nearline.schema.query import Query
from nearline.schema.result import Result
from nearline.serving.recommender import Recommender
from nearline.stores.world import OnlineWorld

logger = logging.getLogger("nearline.publish")
RENEW = 0.5
"""Seconds between two looks at whether an index of a source is out of date, or another release in service."""


class Lists:
    """Makes lists from a world, with the release in service.

    Args:
        tenant: whose.
        world: restored.
    """

    def __init__(self, tenant: Tenant, world: OnlineWorld) -> None:
        self._tenant, self._world, self._wall = tenant, world, WallClock()
        self._version = tenant.releases.current()
        self._recommender = Recommender(tenant, world, self._pipeline())
        self._recommender.pipeline.renew(tenant.clock.now())
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="nearline-renewing", daemon=True)
        self._thread.start()
        self._end_refreshing = refreshing(tenant.releases)

    def of(self, user_id: str, visitor: int) -> list[Result]:
        """Return a user's lists, one for each surface."""
        return [self._made(user_id, visitor, surface) for surface in self._tenant.settings.publish.surfaces]

    def none(self, user_id: str, offset: int) -> list[Result]:
        """Return empty lists, for a user whose data was erased."""
        surfaces, now = self._tenant.settings.publish.surfaces, self._wall.now()
        return [Result(self._tenant.name, user_id, surface, [], offset, "none", now, f"-{surface}") for surface in surfaces]

    def _made(self, user_id: str, visitor: int, surface: str) -> Result:
        now, size = self._tenant.clock.now(), self._tenant.settings.publish.length
        # Nobody waits: no step is late. Nothing is drawn by chance, since nobody is told what was shown.
        query = Query(visitor, now, user_id, surface=surface, page_size=size, limits=False, log=False)
        pipeline = self._recommender.pipeline
        run = self._recommender.start(query)
        pipeline.advance(run)
        served, _ = self._recommender.finish(run, pipeline)
        for name, error in run.trace.get("errors", {}).items():
            logger.warning("a component failed", extra={"component": name, "error": error})
        return Result(
            self._tenant.name,
            user_id,
            surface,
            served.items,
            served.offset,
            served.model_version,
            self._wall.now(),
            served.request_id,
        )

    def _pipeline(self) -> Pipeline:
        release = current_release(self._tenant)
        arrays, version = (release.arrays, release.manifest.version) if release else ({}, "")
        return build_pipeline(self._tenant, self._world, arrays, version)

    def _renew(self) -> None:
        while not self._ending.wait(RENEW):
            try:
                if (version := self._tenant.releases.current()) != self._version:
                    self._version = version
                    self._recommender.pipeline = self._pipeline()
                    logger.info("release in service", extra={"release": version})
                self._recommender.pipeline.renew(self._tenant.clock.now())
            except Exception:
                logger.exception("renewing the sources' indexes failed")

    def close(self) -> None:
        """End the thread that renews."""
        self._end_refreshing()
        self._ending.set()
        self._thread.join()
