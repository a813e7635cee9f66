"""User rows in MySQL or MariaDB: one row a visitor, which an upsert keeps from going backwards."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import pymysql
from pymysql.constants import ER

from nearline.schema.clock import DAY
from nearline.stores.adapters import shown
from nearline.stores.mysql.connections import Connections, drop
from nearline.stores.user_rows import RowsLostError, RowsPlace, UserRow, signed

CLEANING = 600.0
"""Seconds that it may take to look for rows that are too old, once a day."""
TABLES = (
    """CREATE TABLE IF NOT EXISTS nearline_rows (
        tenant varbinary(64), visitor bigint, log_offset bigint NOT NULL, hot mediumblob NOT NULL,
        history mediumblob NOT NULL, written_at timestamp NOT NULL DEFAULT current_timestamp ON UPDATE current_timestamp,
        PRIMARY KEY (tenant, visitor)) ENGINE = InnoDB""",
    """CREATE TABLE IF NOT EXISTS nearline_progress (
        tenant varbinary(64), part int, next bigint NOT NULL, PRIMARY KEY (tenant, part)) ENGINE = InnoDB""",
)
READ = """
SELECT 0, visitor, 0, hot, history FROM nearline_rows WHERE tenant = %s AND visitor IN %s
UNION ALL SELECT 1, part, next, '', '' FROM nearline_progress WHERE tenant = %s AND part IN %s
"""
"""One statement, so that rows and progress are of one moment. Keys are signed: no index is used for a list of both kinds."""
WRITE = """
INSERT INTO nearline_rows (tenant, visitor, log_offset, hot, history) VALUES (%s, %s, %s, %s, %s)
ON DUPLICATE KEY UPDATE hot = IF(VALUES(log_offset) >= log_offset, VALUES(hot), hot),
history = IF(VALUES(log_offset) >= log_offset, VALUES(history), history),
log_offset = GREATEST(log_offset, VALUES(log_offset))
"""
"""The offset comes last: what stands before it compares with what was there."""
SEEN = "SELECT part, next FROM nearline_progress WHERE tenant = %s AND part IN %s"
PROGRESS = "INSERT INTO nearline_progress VALUES (%s, %s, %s) ON DUPLICATE KEY UPDATE next = GREATEST(next, VALUES(next))"
OLD = "DELETE FROM nearline_rows WHERE tenant = %s AND written_at < now() - INTERVAL %s SECOND"
NONE = (-1,)
"""What an empty list is asked as, which SQL does not have."""


def open_rows(place: RowsPlace) -> MysqlRows:
    """Open mysql://user:password@host:3306/database."""
    return MysqlRows(place)


class MysqlRows:
    """A `UserRows` in MySQL; who writes first makes the tables. Rows not written for a history's time are dropped."""

    def __init__(self, place: RowsPlace) -> None:
        self._place = place
        self._connections = Connections(place.url, "storage.state", place.timeout)
        self._made, self._clean = False, 0.0
        self._seen: dict[int, int] = {}

    def read(self, visitors: Sequence[int], partitions: Sequence[int] = ()) -> tuple[list[UserRow], list[int]]:
        """Return the rows of visitors, and the progress of partitions."""
        tenant, keys = self._place.tenant, tuple(map(signed, visitors))
        with self._connections.lend() as connection, connection.cursor() as cursor:
            try:
                cursor.execute(READ, (tenant, keys or NONE, tenant, tuple(partitions) or NONE))
                found = cursor.fetchall()
            except pymysql.ProgrammingError as error:
                if error.args[0] != ER.NO_SUCH_TABLE:
                    raise
                found = ()
        rows = {number: (hot, history) for progress, number, _, hot, history in found if not progress}
        done = {number: end for progress, number, end, _, _ in found if progress}
        self._seen |= {number: done.get(number, 0) for number in partitions}
        empty = b"", b""
        return (
            [UserRow(visitor, *rows.get(key, empty)) for visitor, key in zip(visitors, keys, strict=True)],
            [done.get(number, 0) for number in partitions],
        )

    def write(self, rows: Sequence[UserRow], progress: Mapping[int, int]) -> None:
        """Write rows and progress, in one transaction; a replica that took over may lack what was written last."""
        tenant = self._place.tenant
        with self._connections.lend() as connection, connection.cursor() as cursor:
            if not self._made:
                for table in TABLES:
                    cursor.execute(table)
                self._made = True
            connection.begin()
            # In one order, so that two who write the same rows don't wait for each other.
            by_key = sorted(rows, key=lambda row: row.visitor)
            cursor.executemany(WRITE, [(tenant, signed(row.visitor), row.offset, row.hot, row.history) for row in by_key])
            cursor.execute(SEEN, (tenant, tuple(progress) or NONE))
            there = dict(cursor.fetchall())
            if lost := [number for number in progress if there.get(number, 0) < self._seen.get(number, 0)]:
                raise RowsLostError(f"{shown(self._place.url)} has gone back: rows of partitions {lost} are lost")
            cursor.executemany(PROGRESS, [(tenant, number, offset) for number, offset in sorted(progress.items())])
            connection.commit()
        self._seen |= progress
        if time.monotonic() >= self._clean:
            self._clean = time.monotonic() + DAY / 1000
            self._drop_old()

    def _drop_old(self) -> None:
        connection = self._connections.new(CLEANING)
        try:
            with connection.cursor() as cursor:
                cursor.execute(OLD, (self._place.tenant, self._place.history_ms // 1000))
        except pymysql.Error as error:
            raise self._connections.unavailable(error) from None
        finally:
            drop(connection)

    def close(self) -> None:
        """Let go of connections."""
        self._connections.close()
