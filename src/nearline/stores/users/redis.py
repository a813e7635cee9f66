"""User rows in Redis or Valkey, one server or a cluster: two values a visitor, which a script keeps from going backwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nearline.stores.user_rows import RowsPlace, UserRow, UserRows
from nearline.stores.users._redis import FAILED, RedisBase, in_cluster
from nearline.stores.users._redis_cluster import ClusterRows

CHUNK = 250
"""Rows in one call of the script."""


def open_rows(place: RowsPlace) -> UserRows:
    """Open redis://host:port/db, rediss:// with TLS, redis+unix:///path, or redis+cluster://host:port,host:port."""
    return ClusterRows(place) if in_cluster(place.url) else RedisRows(place)


class RedisRows(RedisBase):
    """A `UserRows` in one Redis; `<tenant>:progress:<partition>` says how far the stream is."""

    def __init__(self, place: RowsPlace) -> None:
        super().__init__(place)
        self._seen: dict[int, int] = {}

    def read(self, visitors: Sequence[int], partitions: Sequence[int] = ()) -> tuple[list[UserRow], list[int]]:
        """Return the rows of visitors, and the progress of partitions."""
        names = [self._progress(number) for number in partitions] + [n for visitor in visitors for n in self.names(visitor)]
        try:
            both = self._redis().mget(names)
        except FAILED as error:
            raise self._away(error) from error
        done, found = [int(value or 0) for value in both[: len(partitions)]], both[len(partitions) :]
        self._seen |= zip(partitions, done, strict=True)
        rows = [UserRow(visitor, found[2 * i] or b"", found[2 * i + 1] or b"") for i, visitor in enumerate(visitors)]
        return rows, done

    def write(self, rows: Sequence[UserRow], progress: Mapping[int, int]) -> None:
        """Write rows, then progress: one round trip for what is small."""
        last = max(0, len(rows) - 1) // CHUNK * CHUNK
        moves = [(self._progress(number), end, self._seen.get(number, 0)) for number, end in progress.items()]
        try:
            if last:
                pipeline = self._redis().pipeline(transaction=False)
                for begin in range(0, last, CHUNK):
                    pipeline.execute_command(*self._writing(rows[begin : begin + CHUNK]))
                pipeline.execute()
            if (rows or moves) and self._redis().execute_command(*self._writing(rows[last:], moves)) != 1:
                raise self._lost([*progress])
        except FAILED as error:
            raise self._away(error) from error
        self._seen |= progress

    def _progress(self, partition: int) -> str:
        return f"{self._place.tenant}:progress:{partition}"
