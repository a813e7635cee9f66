"""User rows in Cassandra: one row a visitor, which the timestamps of its cells keep from going backwards."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from nearline.stores.cassandra.session import Cassandra
from nearline.stores.user_rows import RowsLostError, RowsPlace, UserRow, signed

TABLES = (
    """CREATE TABLE IF NOT EXISTS {keyspace}.user_rows (tenant text, visitor bigint, hot blob, history blob,
        PRIMARY KEY ((tenant, visitor)))""",
    "CREATE TABLE IF NOT EXISTS {keyspace}.progress (tenant text, part int, next bigint, PRIMARY KEY ((tenant, part)))",
)
READ = "SELECT hot, history FROM {keyspace}.user_rows WHERE tenant = ? AND visitor = ?"
WRITE = """
BEGIN UNLOGGED BATCH
UPDATE {keyspace}.user_rows USING TIMESTAMP ? AND TTL ? SET hot = ? WHERE tenant = ? AND visitor = ?;
UPDATE {keyspace}.user_rows USING TIMESTAMP ? AND TTL ? SET history = ? WHERE tenant = ? AND visitor = ?;
APPLY BATCH
"""
"""A batch of one partition is written whole, and needs no log of its own."""
SEEN = "SELECT next FROM {keyspace}.progress WHERE tenant = ? AND part = ?"
PROGRESS = "UPDATE {keyspace}.progress USING TIMESTAMP ? SET next = ? WHERE tenant = ? AND part = ?"
MINUTES = 24
"""Bits of a timestamp that say when a row was written, so that of two with one offset the later counts; 39 are the offset's."""


def open_rows(place: RowsPlace) -> CassandraRows:
    """Open cassandra://user:password@host,host:9042/keyspace?dc=name."""
    return CassandraRows(place)


class CassandraRows:
    """A `UserRows` in Cassandra; who writes first makes the tables in a keyspace that is there.

    Of two values of a cell Cassandra keeps that with the higher timestamp, whichever came first: the timestamp is the
    offset, so nothing is read before a write. Two rows with one offset that were written within the same minute are the same.
    """

    def __init__(self, place: RowsPlace) -> None:
        self._place = place
        self._store = Cassandra(place.url, "storage.state", place.timeout, TABLES)
        self._seen: dict[int, int] = {}

    def read(self, visitors: Sequence[int], partitions: Sequence[int] = ()) -> tuple[list[UserRow], list[int]]:
        """Return the rows of visitors, and the progress of partitions, which is read first: it must not say more."""
        done = self._progress(partitions)
        self._seen |= done
        found = self._store.ask(READ, [(self._place.tenant, signed(visitor)) for visitor in visitors])
        rows = [
            UserRow(visitor, some[0].hot or b"", some[0].history or b"") if some else UserRow(visitor)
            for visitor, some in zip(visitors, found, strict=True)
        ]
        return rows, [done[number] for number in partitions]

    def write(self, rows: Sequence[UserRow], progress: Mapping[int, int]) -> None:
        """Write rows, then progress where it has not gone back."""
        self._store.make()
        tenant, now = self._place.tenant, int(time.time()) // 60
        hot_s, history_s = self._place.hot_ms // 1000, self._place.history_ms // 1000
        values: list[tuple[object, ...]] = []
        for row in rows:
            written, key = (row.offset + 1 << MINUTES) + now % (1 << MINUTES), (tenant, signed(row.visitor))
            values.append((written, hot_s, row.hot, *key, written, history_s, row.history, *key))
        self._store.ask(WRITE, values)
        there = self._progress(list(progress))
        if lost := [number for number in progress if there[number] < self._seen.get(number, 0)]:
            raise RowsLostError(f"{self._store.shown} has gone back: rows of partitions {lost} are lost")
        self._store.ask(PROGRESS, [(offset, offset, tenant, number) for number, offset in progress.items()])
        self._seen |= progress

    def _progress(self, partitions: Sequence[int]) -> dict[int, int]:
        found = self._store.ask(SEEN, [(self._place.tenant, number) for number in partitions])
        return {number: some[0].next if some else 0 for number, some in zip(partitions, found, strict=True)}

    def close(self) -> None:
        """Let go of connections."""
        self._store.close()
