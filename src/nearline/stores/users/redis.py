"""User rows in Redis or Valkey, one server or a cluster: two values a visitor, which a script keeps from going backwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.exceptions import ConnectionError as ConnectionLostError
from redis.exceptions import RedisError
from redis.retry import Retry

from nearline.schema.errors import StoreUnavailableError
from nearline.stores.adapters import shown
from nearline.stores.user_rows import RowsPlace, UserRow

CHUNK = 250
"""Rows in one call of the script."""
WRITE = """
local n = #KEYS / 2
for i = 1, n do
  local hot, history = ARGV[2 * i + 1], ARGV[2 * i + 2]
  local old = redis.call('GETRANGE', KEYS[2 * i - 1], 0, 7)
  if old == '' then old = redis.call('GETRANGE', KEYS[2 * i], 0, 7) end
  if old == '' or struct.unpack('<i8', old) <= struct.unpack('<i8', hot) then
    redis.call('SET', KEYS[2 * i - 1], hot, 'PX', ARGV[1])
    if history == '' then redis.call('DEL', KEYS[2 * i])
    else redis.call('SET', KEYS[2 * i], history, 'PX', ARGV[2]) end
  end
end
"""

PROGRESS = """
local there = tonumber(redis.call('GET', KEYS[1]) or '0')
if there < tonumber(ARGV[2]) then return 0 end
if there < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end
return 1
"""
"""Moves progress on, unless it has gone back since it was last seen: what was written before is lost, and that must show.

A worker that hung and comes back does not set it back either.
"""


def open_rows(place: RowsPlace) -> RedisRows:
    """Open redis://host:port/db, rediss:// with TLS, redis+unix:///path, or redis+cluster://host:port."""
    return RedisRows(place)


def connected(place: RowsPlace) -> Any:
    """Return a client; a cluster is asked for its nodes at once, a server when it is first asked for something."""
    wait: dict[str, Any] = {"socket_timeout": place.timeout, "socket_connect_timeout": place.timeout}
    # A connection that was closed meanwhile is made anew; a server that is silent is not waited for twice.
    retry = Retry(NoBackoff(), 1, (ConnectionLostError,))
    if place.url.partition(":")[0].endswith("+cluster"):
        return RedisCluster.from_url(place.url.replace("+cluster", "", 1), retry=retry, **wait)
    return Redis.from_url(place.url.replace("redis+unix:", "unix:", 1), retry=retry, **wait)


class RedisRows:
    """A `UserRows` in Redis.

    Keys are `<tenant>:user:{<key in hex>}:features` for the hot row and `...:history`; both are in one slot of a cluster.
    `<tenant>:progress:<partition>` says how far the stream is.
    """

    def __init__(self, place: RowsPlace) -> None:
        self._place = place
        self._cluster = place.url.partition(":")[0].endswith("+cluster")
        self._client: Any = None
        self._seen: dict[int, int] = {}
        self._prefix = f"{place.tenant}:user:{{"

    def names(self, visitor: int) -> list[str]:
        """Return the names of a visitor's hot row and of his history."""
        name = f"{self._prefix}{visitor:016x}}}:"
        return [name + "features", name + "history"]

    def read(self, visitors: Sequence[int], partitions: Sequence[int] = ()) -> tuple[list[UserRow], list[int]]:
        """Return the rows of visitors, and the progress of partitions."""
        names = [name for visitor in visitors for name in self.names(visitor)]
        progress = [f"{self._place.tenant}:progress:{number}" for number in partitions]
        try:
            if self._cluster:
                # Progress first: it must not say more than the rows, which are read by another question.
                done = [self._redis().get(name) for name in progress]
                found = self._by_slot(names)
            else:
                both = self._redis().mget(progress + names)
                done, found = both[: len(progress)], both[len(progress) :]
        except (RedisError, OSError) as error:
            raise StoreUnavailableError(f"{shown(self._place.url)} does not answer: {error}") from error
        rows = [UserRow(visitor, found[2 * i] or b"", found[2 * i + 1] or b"") for i, visitor in enumerate(visitors)]
        self._seen |= {number: int(value or 0) for number, value in zip(partitions, done, strict=True)}
        return rows, [int(value or 0) for value in done]

    def _by_slot(self, names: list[str]) -> list[bytes | None]:
        """Ask a cluster: one visitor's two values are one question, and all questions of a node one round trip."""
        if len(names) == 2:
            return list(self._redis().mget(names))
        pipeline = self._redis().pipeline(transaction=False)
        for name in names:
            pipeline.get(name)
        return list(pipeline.execute())

    def write(self, rows: Sequence[UserRow], progress: Mapping[int, int]) -> None:
        """Write rows, then progress."""
        chunk, times = 1 if self._cluster else CHUNK, (self._place.hot_ms, self._place.history_ms)
        try:
            pipeline = self._redis().pipeline(transaction=False)
            for begin in range(0, len(rows), chunk):
                some = rows[begin : begin + chunk]
                names = [name for row in some for name in self.names(row.visitor)]
                values = [value for row in some for value in (row.hot, row.history)]
                pipeline.execute_command("EVAL", WRITE, len(names), *names, *times, *values)
            if rows:
                pipeline.execute()
            for number, offset in progress.items():
                seen = self._seen.get(number, 0)
                pipeline = self._redis().pipeline(transaction=False)
                pipeline.execute_command("EVAL", PROGRESS, 1, f"{self._place.tenant}:progress:{number}", offset, seen)
                if pipeline.execute() != [1]:
                    raise StoreUnavailableError(f"{shown(self._place.url)} has gone back: rows of partition {number} are lost")
                self._seen[number] = offset
        except (RedisError, OSError) as error:
            raise StoreUnavailableError(f"{shown(self._place.url)} does not answer: {error}") from error

    def close(self) -> None:
        """Let go of connections."""
        if self._client is not None:
            self._client.close()

    def _redis(self) -> Any:
        """Return the client, connected when it is first needed: its server may come up after this process."""
        if self._client is None:
            self._client = connected(self._place)
        return self._client
