"""Indexing: a source's index over the catalogue, made anew beside the requests when the catalogue has changed."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

from nearline.schema.components import Arrays, FitData, World

PAUSE = 1.0
"""Seconds between two indexings at least; more where one takes long."""


class Indexing(ABC):
    """A source that learns nothing in batch and reads an index of its own."""

    def fit(self, data: FitData) -> Arrays:
        """Nothing is learned in batch."""
        return {}

    def bind(self, world: World, arrays: Arrays) -> None:
        """Index this world's catalogue."""
        self._world = world
        self._make()

    def renew(self, now: int) -> None:
        """Index a changed catalogue, at most once in a while; the old index serves meanwhile."""
        if self._world.catalog_version != self._version and time.monotonic() >= self._next:
            self._make()

    @abstractmethod
    def index(self) -> None:
        """Make the index and put it in place by one assignment: a reader sees the old one or the new one, whole."""

    def _make(self) -> None:
        # Read before the catalogue is: what changes meanwhile is found the next time.
        began, version = time.monotonic(), self._world.catalog_version
        self.index()
        self._version = version
        self._next = time.monotonic() + max(PAUSE, PAUSE * 20 * (time.monotonic() - began))
