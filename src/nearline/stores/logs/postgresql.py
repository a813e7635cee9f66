"""The log in PostgreSQL: a row per record with columns that SQL can use, for all servers that share the database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import psycopg

from nearline.schema.errors import NearlineError
from nearline.schema.event import TOPICS, Record, Topic
from nearline.stores.log import Ends, Position
from nearline.stores.open_log import LogPlace
from nearline.stores.postgresql.connections import Connection, Connections
from nearline.stores.postgresql.followers import CHANNEL, PostgresqlGroup, PostgresqlTail, remember
from nearline.stores.postgresql.tables import COLUMNS, NAMES, TABLES, make_tables

SETTING = "storage.log"
TRIMMED = 20_000
"""Offsets that one statement trims."""
TAKE = f"""
UPDATE nearline_ends
SET next = next + %s, appended_ms = greatest(appended_ms, (extract(epoch FROM clock_timestamp()) * 1000)::int8)
WHERE tenant = %s AND topic = %s RETURNING next - %s, appended_ms, pg_notify('{CHANNEL}', tenant)
"""
"""Whoever has this row's lock gets the next offsets, and keeps it to the end of his transaction: so there are no holes, and
whoever sees a record sees all before it."""
COPY = {topic: f"COPY {table} (tenant, log_offset, appended_ms, {NAMES}) FROM STDIN BINARY" for topic, table in TABLES.items()}
COPIED = ["text", "int8", "int8", *(kind for _, kind in COLUMNS)]
_fields = msgspec.structs.astuple


def open_log(place: LogPlace) -> PostgresqlLog:
    """Open a tenant's log at postgresql://user:password@host:5432/database?name=value, with libpq's parameters.

    Raises:
        NearlineError: it is no such URL, has other partitions, or tables of another version.
        StoreUnavailableError: the server can't be reached, or refuses.
    """
    connections = Connections(place.url, SETTING)
    if place.partitions != 1:
        raise NearlineError("storage.partitions", place.partitions, "set it to 1: a log in PostgreSQL is not divided")
    make_tables(connections, place.tenant, SETTING, place.read_only)
    return PostgresqlLog(connections, place.tenant)


class PostgresqlLog:
    """A `Log` in PostgreSQL. Offsets have no holes but those that `set_end` makes, and become visible in their order.

    Args:
        connections: to the server.
        tenant: whose rows.
    """

    shared = True
    partitions = 1

    def __init__(self, connections: Connections, tenant: str) -> None:
        self._connections, self._tenant = connections, tenant
        self._appending = threading.Lock()

    def partition(self, number: int) -> PostgresqlLog:
        """Return this log, which is not divided."""
        return self

    def append(self, batches: Mapping[Topic, Sequence[Record]]) -> dict[Topic, Ends]:
        """Append in one transaction, which the server has made durable on return.

        Raises:
            StoreUnavailableError: it refuses, or was lost meanwhile; then the records may be there all the same.
        """
        with self._appending, self._connections.lend() as connection:
            try:
                return self._append(connection, batches, _fields)
            except (psycopg.DataError, UnicodeEncodeError):
                return self._append(connection, batches, _writable)

    def _append(
        self,
        connection: Connection,
        batches: Mapping[Topic, Sequence[Record]],
        fields: Callable[[Record], tuple[Any, ...]],
    ) -> dict[Topic, Ends]:
        ends: dict[Topic, Ends] = {}
        with connection.transaction():
            # Always in the same order, so that no two wait for each other.
            for topic in TOPICS:
                if not (records := batches.get(topic)):
                    continue
                n = len(records)
                first, appended = _row(connection.execute(TAKE, (n, self._tenant, topic, n)))[:2]
                with connection.cursor() as cursor, cursor.copy(COPY[topic]) as copy:
                    copy.set_types(COPIED)
                    for offset, record in enumerate(records, first):
                        copy.write_row((self._tenant, offset, appended, *fields(record)))
                ends[topic] = {0: first + n}
        return ends

    def tail(self, at: Mapping[Position, int]) -> PostgresqlTail:
        """Return a reader of what comes from these offsets on."""
        return PostgresqlTail(self, self._connections, self._tenant, at)

    def group(self, name: str, given: Callable[[dict[int, int]], None], taken: Callable[[list[int]], None]) -> PostgresqlGroup:
        """Join a group, of which one works and the others stand by."""
        return PostgresqlGroup(self, self._connections, self._tenant, name, given, taken)

    def read(self, topic: Topic, start: int, limit: int) -> tuple[int, list[Record]]:
        """Return up to `limit` consecutive records from `start` on, after the offset of the first."""
        query = f"""SELECT log_offset, {NAMES} FROM {TABLES[topic]} WHERE tenant = %s AND log_offset >= %s
                    ORDER BY log_offset LIMIT %s"""
        with self._connections.lend() as connection:
            rows = connection.cursor(binary=True).execute(query, (self._tenant, start, max(0, limit))).fetchall()
        if not rows:
            return max(start, self.start(topic)), []
        first = int(rows[0][0])
        if rows[-1][0] - first >= len(rows):  # a hole, where the end was moved
            rows = [row for place, row in enumerate(rows) if row[0] == first + place]
        return first, [Record(*row[1:]) for row in rows]

    def start(self, topic: Topic) -> int:
        """Return the offset of the first record kept, or the end where none is."""
        query = f"""SELECT coalesce((SELECT min(log_offset) FROM {TABLES[topic]} WHERE tenant = %s),
                    (SELECT next FROM nearline_ends WHERE tenant = %s AND topic = %s))"""
        return self._number(query, self._tenant, self._tenant, topic)

    def end(self, topic: Topic) -> int:
        """Return the offset that the next record gets."""
        return self.ends().get(topic, 0)

    def ends(self) -> dict[str, int]:
        """Return the ends of all topics."""
        with self._connections.lend() as connection:
            query = "SELECT topic, next FROM nearline_ends WHERE tenant = %s"
            return {topic: int(end) for topic, end in connection.execute(query, (self._tenant,))}

    def set_end(self, topic: Topic, offset: int) -> None:
        """Move the end forward, leaving a hole that the lake fills.

        Raises:
            NearlineError: `offset` is below the end.
        """
        query = "UPDATE nearline_ends SET next = %s WHERE tenant = %s AND topic = %s AND next <= %s"
        with self._connections.lend() as connection:
            moved = connection.execute(query, (offset, self._tenant, topic, offset)).rowcount
        if not moved:
            raise NearlineError("offset", offset, f"the end of {topic} only moves forward, from {self.end(topic)}")

    def offset_at(self, topic: Topic, ms: int) -> int:
        """Return where the first record is that came at `ms` or later by the server's clock, or the end."""
        query = f"""SELECT log_offset, appended_ms FROM {TABLES[topic]} WHERE tenant = %s AND log_offset >= %s
                    ORDER BY log_offset LIMIT 1"""
        low, end = self.start(topic), self.end(topic)
        high = found = end
        with self._connections.lend() as connection:
            while low < high:
                middle = (low + high) // 2
                row = connection.execute(query, (self._tenant, middle)).fetchone()
                if row is None or row[0] >= end or row[1] >= ms:
                    high = middle
                    found = min(end, row[0]) if row is not None else end
                else:
                    low = int(row[0]) + 1
        return found

    def commit(self, consumer: str, topic: Topic, offset: int) -> None:
        """Remember durably that `consumer` is done with everything below `offset`."""
        with self._connections.lend() as connection:
            remember(connection, self._tenant, consumer, topic, offset)

    def committed(self, consumer: str, topic: Topic) -> int:
        """Return what `consumer` committed last, 0 for nothing."""
        query = "SELECT max(next) FROM nearline_consumers WHERE tenant = %s AND consumer = %s AND topic = %s"
        return self._number(query, self._tenant, consumer, topic)

    def trim(self, topic: Topic, before: int) -> int:
        """Drop what is below `before`, in steps; return how many records went."""
        dropped, position, before = 0, self.start(topic), min(before, self.end(topic))
        while position < before:
            position = min(before, position + TRIMMED)
            with self._connections.lend() as connection:
                query = f"DELETE FROM {TABLES[topic]} WHERE tenant = %s AND log_offset < %s"
                dropped += connection.execute(query, (self._tenant, position)).rowcount
        return dropped

    def close(self) -> None:
        """Let go of connections. Closing twice is fine."""
        self._connections.close()

    def _number(self, query: str, *values: str) -> int:
        with self._connections.lend() as connection:
            return int(_row(connection.execute(query, values))[0] or 0)


def _row(cursor: psycopg.Cursor[tuple[Any, ...]]) -> tuple[Any, ...]:
    row = cursor.fetchone()
    assert row is not None
    return row


def _writable(record: Record) -> tuple[Any, ...]:
    """Return a record's fields without what no text of PostgreSQL holds: the sign 0, and halves of signs."""
    return tuple(_text(value) if isinstance(value, str) else value for value in _fields(record))


def _text(value: str) -> str:
    return value.replace("\0", "\ufffd").encode(errors="replace").decode()
