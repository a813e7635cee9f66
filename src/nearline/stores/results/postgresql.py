"""Results in PostgreSQL: one row per user and surface, which an upsert keeps from going backwards, and a NOTIFY."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec
import psycopg
from psycopg import errors

from nearline.schema.clock import DAY
from nearline.schema.result import Result, newest
from nearline.stores.postgresql.connections import Connection, Connections
from nearline.stores.postgresql.tables import MAKING
from nearline.stores.subscriber import Failure, SubscriberPlace

CHANNEL = "nearline_lists"
TABLE = """
CREATE TABLE IF NOT EXISTS nearline_lists (
    tenant text, user_id text, surface text, log_offset int8 NOT NULL, made_at timestamptz NOT NULL,
    release text NOT NULL, request_id text NOT NULL, list json NOT NULL, PRIMARY KEY (tenant, user_id, surface)
) WITH (fillfactor = 70)
"""
WRITE = f"""
INSERT INTO nearline_lists AS old
SELECT %s, user_id, surface, log_offset, to_timestamp(made / 1000.0), release, request_id, list::json
FROM unnest(%s::text[], %s::text[], %s::int8[], %s::int8[], %s::text[], %s::text[], %s::text[])
    AS new(user_id, surface, log_offset, made, release, request_id, list) ORDER BY user_id, surface
ON CONFLICT (tenant, user_id, surface) DO UPDATE SET log_offset = excluded.log_offset, made_at = excluded.made_at,
    release = excluded.release, request_id = excluded.request_id, list = excluded.list
WHERE (old.log_offset, old.made_at) < (excluded.log_offset, excluded.made_at)
RETURNING pg_notify('{CHANNEL}', json_build_object('tenant', tenant, 'user_id', user_id, 'surface', surface)::text)
"""
READ = """
SELECT list::text FROM nearline_lists
WHERE tenant = %s AND user_id = %s AND surface = %s AND made_at > now() - %s * interval '1 millisecond'
"""
OLD = "DELETE FROM nearline_lists WHERE tenant = %s AND made_at < now() - %s * interval '1 millisecond'"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Result).decode


def open_subscriber(place: SubscriberPlace) -> PostgresqlResults:
    """Open postgresql://user:password@host:5432/database?name=value, with libpq's parameters."""
    return PostgresqlResults(place)


class PostgresqlResults:
    """A `Subscriber` and `ResultStore` in PostgreSQL; who delivers first makes the table `nearline_lists`.

    `NOTIFY nearline_lists` says `{"tenant", "user_id", "surface"}` of each row that changed.
    """

    def __init__(self, place: SubscriberPlace) -> None:
        self._place = place
        self._connections = Connections(place.url, "publish.to", place.timeout)
        self._made, self._clean = False, 0.0

    def deliver(self, results: Sequence[Result]) -> list[Failure]:
        """Upsert, in one transaction; one that PostgreSQL can't hold fails alone."""
        some = list(results)
        with self._connections.lend() as connection:
            if not self._made:
                with connection.transaction():
                    connection.execute("SELECT pg_advisory_xact_lock(%s)", (MAKING,))
                    connection.execute(TABLE)
                self._made = True
            try:
                self._write(connection, [some[place] for place in newest(some)])
            except (psycopg.DataError, UnicodeEncodeError):
                return [failure for place, one in enumerate(some) for failure in self._alone(connection, place, one)]
            if time.monotonic() >= self._clean:
                self._clean = time.monotonic() + DAY / 1000
                connection.execute(OLD, (self._place.tenant, self._place.keep_ms))
        return []

    def _alone(self, connection: Connection, place: int, result: Result) -> list[Failure]:
        try:
            self._write(connection, [result])
        except (psycopg.DataError, UnicodeEncodeError) as error:
            return [Failure(place, " ".join(str(error).split()), final=True)]
        return []

    def _write(self, connection: Connection, results: Sequence[Result]) -> None:
        columns = [(r.user_id, r.surface, r.offset, r.made_at, r.release, r.request_id, _encode(r).decode()) for r in results]
        if columns:
            with connection.transaction():
                connection.execute(WRITE, (self._place.tenant, *map(list, zip(*columns, strict=True))))

    def latest(self, user_id: str, surface: str) -> Result | None:
        """Return the row that is there."""
        with self._connections.lend() as connection:
            try:
                row = connection.execute(READ, (self._place.tenant, user_id, surface, self._place.keep_ms)).fetchone()
            except errors.UndefinedTable:
                row = None
        return _decode(row[0]) if row else None

    def close(self) -> None:
        """Let go of connections."""
        self._connections.close()
