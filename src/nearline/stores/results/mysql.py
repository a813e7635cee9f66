"""Results in MySQL or MariaDB: one row per user and surface, which an upsert keeps from going backwards."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import msgspec
import pymysql
from pymysql.connections import Connection
from pymysql.constants import ER

from nearline.schema.clock import DAY
from nearline.schema.result import Result, newest
from nearline.stores.mysql.connections import Connections
from nearline.stores.subscriber import Failure, SubscriberPlace

TABLE = """
CREATE TABLE IF NOT EXISTS nearline_lists (
    tenant varbinary(64), user_id varbinary(512), surface varbinary(128), log_offset bigint NOT NULL, made_at bigint NOT NULL,
    `release` varchar(64) NOT NULL, request_id varchar(128) NOT NULL, list longtext NOT NULL,
    PRIMARY KEY (tenant, user_id, surface)) ENGINE = InnoDB CHARACTER SET utf8mb4
"""
"""Ids are bytes, which no collation takes for equal. A list is text: the type JSON of MySQL would change its order."""
NEWER = "(VALUES(log_offset), VALUES(made_at)) > (log_offset, made_at)"
KEPT = ", ".join(f"{name} = IF({NEWER}, VALUES({name}), {name})" for name in ("`release`", "request_id", "list", "made_at"))
WRITE = f"""
INSERT INTO nearline_lists VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
ON DUPLICATE KEY UPDATE {KEPT}, log_offset = GREATEST(log_offset, VALUES(log_offset))
"""
"""The offset comes last: what stands before it compares with what was there."""
READ = """
SELECT list FROM nearline_lists WHERE tenant = %s AND user_id = %s AND surface = %s
AND made_at > unix_timestamp(now(3)) * 1000 - %s
"""
OLD = "DELETE FROM nearline_lists WHERE tenant = %s AND made_at < unix_timestamp(now(3)) * 1000 - %s"
REFUSED = (pymysql.DataError, UnicodeEncodeError)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Result).decode


def open_subscriber(place: SubscriberPlace) -> MysqlResults:
    """Open mysql://user:password@host:3306/database."""
    return MysqlResults(place)


class MysqlResults:
    """A `Subscriber` and `ResultStore` in MySQL; who delivers first makes the table `nearline_lists`."""

    def __init__(self, place: SubscriberPlace) -> None:
        self._place = place
        self._connections = Connections(place.url, "publish.to", place.timeout)
        self._made, self._clean = False, 0.0

    def deliver(self, results: Sequence[Result]) -> list[Failure]:
        """Upsert, in one transaction; one that MySQL can't hold fails alone."""
        some = list(results)
        with self._connections.lend() as connection:
            if not self._made:
                with connection.cursor() as cursor:
                    cursor.execute(TABLE)
                self._made = True
            try:
                self._write(connection, [some[place] for place in newest(some)])
            except REFUSED:
                return [failure for place, one in enumerate(some) for failure in self._alone(connection, place, one)]
            if time.monotonic() >= self._clean:
                self._clean = time.monotonic() + DAY / 1000
                with connection.cursor() as cursor:
                    cursor.execute(OLD, (self._place.tenant, self._place.keep_ms))
        return []

    def _alone(self, connection: Connection[Any], place: int, result: Result) -> list[Failure]:
        try:
            self._write(connection, [result])
        except REFUSED as error:
            return [Failure(place, " ".join(str(error).split()), final=True)]
        return []

    def _write(self, connection: Connection[Any], results: Sequence[Result]) -> None:
        rows = sorted((r.user_id, r.surface, *r.age, r.release, r.request_id, _encode(r).decode()) for r in results)
        connection.begin()
        try:
            with connection.cursor() as cursor:
                cursor.executemany(WRITE, [(self._place.tenant, *row) for row in rows])
            connection.commit()
        except REFUSED:
            connection.rollback()
            raise

    def latest(self, user_id: str, surface: str) -> Result | None:
        """Return the row that is there."""
        with self._connections.lend() as connection, connection.cursor() as cursor:
            try:
                cursor.execute(READ, (self._place.tenant, user_id, surface, self._place.keep_ms))
                row = cursor.fetchone()
            except pymysql.ProgrammingError as error:
                if error.args[0] != ER.NO_SUCH_TABLE:
                    raise
                row = None
        return _decode(row[0]) if row else None

    def close(self) -> None:
        """Let go of connections."""
        self._connections.close()
