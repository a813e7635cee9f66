"""User rows in PostgreSQL: one row a visitor, which an upsert keeps from going backwards."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import psycopg
from psycopg import errors

from nearline.schema.clock import DAY
from nearline.stores.adapters import shown
from nearline.stores.postgresql.connections import Connections
from nearline.stores.postgresql.tables import make_tables
from nearline.stores.user_rows import RowsLostError, RowsPlace, UserRow, signed

SETTING = "storage.state"
CLEANING = 600.0
"""Seconds that it may take to look for rows that are too old, once a day."""
READ = """
SELECT false, visitor, 0, hot, history FROM nearline_rows WHERE tenant = %s AND visitor = ANY(%s)
UNION ALL SELECT true, partition, next, '', '' FROM nearline_progress WHERE tenant = %s AND partition = ANY(%s)
"""
"""One statement, so that rows and progress are of one moment."""
WRITE = """
INSERT INTO nearline_rows AS old SELECT %s, visitor, log_offset, hot, history, now()
FROM unnest(%b::int8[], %b::int8[], %b::bytea[], %b::bytea[]) AS new(visitor, log_offset, hot, history) ORDER BY visitor
ON CONFLICT (tenant, visitor) DO UPDATE SET log_offset = excluded.log_offset, hot = excluded.hot,
history = excluded.history, written_at = excluded.written_at WHERE old.log_offset <= excluded.log_offset
"""
SEEN = "SELECT partition, next FROM nearline_progress WHERE tenant = %s AND partition = ANY(%s)"
PROGRESS = """
INSERT INTO nearline_progress AS old VALUES (%s, %s, %s)
ON CONFLICT (tenant, partition) DO UPDATE SET next = greatest(old.next, excluded.next)
"""


def open_rows(place: RowsPlace) -> PostgresqlRows:
    """Open postgresql://user:password@host:5432/database?name=value, with libpq's parameters."""
    return PostgresqlRows(place)


class PostgresqlRows:
    """A `UserRows` in PostgreSQL; who writes first makes the tables. Rows not written for a history's time are dropped."""

    def __init__(self, place: RowsPlace) -> None:
        self._place = place
        self._connections = Connections(place.url, SETTING, place.timeout)
        self._made, self._clean = False, 0.0
        self._seen: dict[int, int] = {}

    def read(self, visitors: Sequence[int], partitions: Sequence[int] = ()) -> tuple[list[UserRow], list[int]]:
        """Return the rows of visitors, and the progress of partitions."""
        tenant, keys = self._place.tenant, [signed(visitor) for visitor in visitors]
        with self._connections.lend() as connection:
            try:
                cursor = connection.cursor(binary=True).execute(READ, (tenant, keys, tenant, list(partitions)))
                found = cursor.fetchall()
            except errors.UndefinedTable:
                found = []
        rows = {number: (hot, history) for progress, number, _, hot, history in found if not progress}
        done = {number: end for progress, number, end, _, _ in found if progress}
        self._seen |= {number: int(done.get(number, 0)) for number in partitions}
        empty = b"", b""
        return (
            [UserRow(visitor, *rows.get(key, empty)) for visitor, key in zip(visitors, keys, strict=True)],
            [int(done.get(number, 0)) for number in partitions],
        )

    def write(self, rows: Sequence[UserRow], progress: Mapping[int, int]) -> None:
        """Write rows and progress, in one transaction; a standby that took over may lack what was written last."""
        tenant = self._place.tenant
        if not self._made:
            make_tables(self._connections, tenant, SETTING)
            self._made = True
        keys, offsets = [signed(row.visitor) for row in rows], [row.offset for row in rows]
        with self._connections.lend() as connection, connection.transaction():
            if rows:
                values = (tenant, keys, offsets, [row.hot for row in rows], [row.history for row in rows])
                connection.execute(WRITE, values)
            there = dict(connection.execute(SEEN, (tenant, list(progress))).fetchall())
            if lost := [number for number in progress if there.get(number, 0) < self._seen.get(number, 0)]:
                raise RowsLostError(f"{shown(self._place.url)} has gone back: rows of partitions {lost} are lost")
            for number, offset in progress.items():
                connection.execute(PROGRESS, (tenant, number, offset))
        self._seen |= progress
        if time.monotonic() >= self._clean:
            self._clean = time.monotonic() + DAY / 1000
            self._drop_old()

    def _drop_old(self) -> None:
        connection = self._connections.new()
        connection.patience = CLEANING
        try:
            old = "DELETE FROM nearline_rows WHERE tenant = %s AND written_at < now() - %s * interval '1 millisecond'"
            connection.execute(old, (self._place.tenant, self._place.history_ms))
        except psycopg.Error as error:
            raise self._connections.unavailable(error) from None
        finally:
            connection.close()

    def close(self) -> None:
        """Let go of connections."""
        self._connections.close()
