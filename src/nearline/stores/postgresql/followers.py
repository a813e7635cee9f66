"""Those who follow a log in PostgreSQL: its server tells them when something has come."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import psycopg

from nearline.schema.errors import StoreUnavailableError
from nearline.schema.event import Record, Topic
from nearline.stores.log import Page, Position
from nearline.stores.postgresql.connections import Connection, Connections

logger = logging.getLogger("nearline.postgresql")
CHANNEL = "nearline"
LIMIT = 5_000
"""Records of a page at most."""
LOOK = 0.25
"""Seconds after which ends are looked at, though nobody told us: what stands between us and the server may drop notices."""
STAND_BY = 0.5
"""Seconds between two tries to become the one that works."""


class _Log(Protocol):
    def read(self, topic: Topic, start: int, limit: int) -> tuple[int, list[Record]]: ...

    def ends(self) -> dict[str, int]: ...


class PostgresqlTail:
    """What comes to a log, told by NOTIFY.

    Args:
        log: read from.
        connections: one of them listens.
        tenant: whose log.
        at: offsets to begin at.
    """

    def __init__(self, log: _Log, connections: Connections, tenant: str, at: Mapping[Position, int]) -> None:
        self._log, self._connections, self._tenant = log, connections, tenant
        self._connection: Connection | None = None
        self.begin(at)

    def begin(self, at: Mapping[Position, int]) -> None:
        """Go on from these offsets."""
        self._at = {topic: offset for (topic, _), offset in at.items()}
        self._look = 0.0

    def next(self, seconds: float) -> list[Page]:
        """Return what has come since, waiting up to `seconds` for anything."""
        until = time.monotonic() + seconds
        try:
            while True:
                connection = self.connection()
                if (now := time.monotonic()) >= self._look:
                    self._look = now + LOOK
                    if pages := self._read():
                        return pages
                left = until - time.monotonic()
                if left <= 0:
                    return []
                for notice in connection.notifies(timeout=min(left, LOOK), stop_after=1):
                    if notice.payload == self._tenant:
                        self._look = 0.0
        except psycopg.Error as error:
            self.close()
            raise self._connections.unavailable(error) from None
        except StoreUnavailableError:
            self.close()
            raise

    def connection(self) -> Connection:
        """Return the connection that listens, which is made where there is none."""
        if self._connection is None:
            self._connection = self._connections.new()
            self._connection.execute(f"LISTEN {CHANNEL}")
            self._look = 0.0
        return self._connection

    @property
    def connected(self) -> bool:
        """Whether the connection that listened last is still open."""
        return self._connection is not None and not self._connection.closed

    def _read(self) -> list[Page]:
        pages: list[Page] = []
        ends = self._log.ends()
        for topic, at in self._at.items():
            if ends.get(topic, 0) <= at:
                continue
            first, records = self._log.read(topic, at, LIMIT)
            self._at[topic] = first + len(records)
            if records:
                pages.append(Page(topic, 0, first, records))
            if len(records) == LIMIT:
                self._look = 0.0  # there is more
        return pages

    def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class PostgresqlGroup:
    """The one process of a group that works, by a lock of the connection that listens; the others stand by.

    Args:
        log, connections, tenant: as of the tail.
        name: of the group.
        given, taken: told when the log becomes ours, and when it is no longer.
    """

    def __init__(
        self,
        log: _Log,
        connections: Connections,
        tenant: str,
        name: str,
        given: Callable[[dict[int, int]], None],
        taken: Callable[[list[int]], None],
    ) -> None:
        self._log, self._connections, self._tenant, self._name = log, connections, tenant, name
        self._given, self._taken = given, taken
        self._tail = PostgresqlTail(log, connections, tenant, {})
        self._ours = False

    def next(self, seconds: float) -> list[Page]:
        """Return what has come, where the log is ours; else wait to take it over."""
        try:
            if not self._ours and not self._take_over():
                time.sleep(min(seconds, STAND_BY))
                return []
            return self._tail.next(seconds)
        except (StoreUnavailableError, psycopg.Error) as error:
            text = error if isinstance(error, StoreUnavailableError) else self._connections.unavailable(error)
            logger.warning("the log can't be read; trying again", extra={"error": str(text)})
            self._lose()
            time.sleep(min(seconds, STAND_BY))
            return []

    def seek(self, starts: Mapping[int, int]) -> None:
        """Go on from another offset, where the log is ours."""
        self._tail.begin({("user_events", number): offset for number, offset in starts.items()})

    def commit(self, ends: Mapping[int, int]) -> None:
        """Remember how far the log is done, by the connection that holds the lock; when that is lost, nothing is."""
        if not (ends and self._ours and self._tail.connected):
            return
        try:
            remember(self._tail.connection(), self._tenant, self._name, "user_events", ends[0])
        except psycopg.Error as error:
            logger.warning(
                "an offset was not committed; that much is read again",
                extra={"error": str(self._connections.unavailable(error))},
            )
            self._lose()

    def close(self) -> None:
        """Leave the group; the lock goes with the connection."""
        self._ours = False
        self._tail.close()

    def _take_over(self) -> bool:
        connection = self._tail.connection()
        lock = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"
        (ours,) = connection.execute(lock, (f"nearline {self._tenant} {self._name}",)).fetchone() or (False,)
        if ours:
            query = "SELECT max(next) FROM nearline_consumers WHERE tenant = %s AND consumer = %s AND topic = 'user_events'"
            (at,) = connection.execute(query, (self._tenant, self._name)).fetchone() or (0,)
            self._tail.begin({("user_events", 0): at or 0})
            self._ours = True
            self._given({0: at or 0})
        return bool(ours)

    def _lose(self) -> None:
        self._tail.close()
        if self._ours:
            self._ours = False
            self._taken([0])


def remember(connection: Connection, tenant: str, consumer: str, topic: Topic, offset: int) -> None:
    """Write that a consumer is done with everything below an offset."""
    query = """INSERT INTO nearline_consumers VALUES (%s, %s, %s, %s)
               ON CONFLICT (tenant, consumer, topic) DO UPDATE SET next = excluded.next"""
    connection.execute(query, (tenant, consumer, topic, offset))
