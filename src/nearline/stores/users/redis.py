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
from nearline.stores.user_rows import RowsLostError, RowsPlace, UserRow

CHUNK = 250
"""Rows in one call of the script."""
WRITE = """
local call, rows, hot_ms, history_ms, at = redis.call, tonumber(ARGV[1]), ARGV[2], ARGV[3], 3
for i = 1, rows do
  local hot, history = ARGV[at + 1], ARGV[at + 2]
  at = at + 2
  local old = call('GETRANGE', KEYS[2 * i - 1], 0, 7)
  if old == '' then old = call('GETRANGE', KEYS[2 * i], 0, 7) end
  if old == '' or struct.unpack('<i8', old) <= struct.unpack('<i8', hot) then
    call('SET', KEYS[2 * i - 1], hot, 'PX', hot_ms)
    if history == '' then call('DEL', KEYS[2 * i])
    else call('SET', KEYS[2 * i], history, 'PX', history_ms) end
  end
end
for i = 2 * rows + 1, #KEYS do
  local there, reached, seen = tonumber(call('GET', KEYS[i]) or '0'), ARGV[at + 1], tonumber(ARGV[at + 2])
  at = at + 2
  if there < seen then return 0 end
  if there < tonumber(reached) then call('SET', KEYS[i], reached) end
end
return 1
"""
"""Writes rows that are not older than what is there, then moves progress on.

Progress that has gone back since it was last seen means that what was written before is lost, and that must show. A worker
that hung and comes back does not set it back either.
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
        """Write rows, then progress: one round trip for what is small, where there is one server."""
        whole = [] if self._cluster else rows[(max(0, len(rows) - 1) // CHUNK) * CHUNK :]
        before = rows[: len(rows) - len(whole)]
        chunk = 1 if self._cluster else CHUNK
        try:
            if before:
                pipeline = self._redis().pipeline(transaction=False)
                for begin in range(0, len(before), chunk):
                    pipeline.execute_command(*self._writing(before[begin : begin + chunk], {}))
                pipeline.execute()
            # A cluster's progress is in other slots than its rows, and each partition's in one of its own.
            parts = [{number: end} for number, end in progress.items()] if self._cluster else [progress]
            for part in parts if progress or whole else []:
                if self._redis().execute_command(*self._writing(whole, part)) != 1:
                    raise RowsLostError(f"{shown(self._place.url)} has gone back: rows of partitions {sorted(part)} are lost")
                self._seen |= part
        except (RedisError, OSError) as error:
            raise StoreUnavailableError(f"{shown(self._place.url)} does not answer: {error}") from error

    def _writing(self, rows: Sequence[UserRow], progress: Mapping[int, int]) -> list[Any]:
        """Return a call of the script."""
        names = [name for row in rows for name in self.names(row.visitor)]
        names += [f"{self._place.tenant}:progress:{number}" for number in progress]
        values: list[Any] = [value for row in rows for value in (row.hot, row.history)]
        for number, end in progress.items():
            values += end, self._seen.get(number, 0)
        return ["EVAL", WRITE, len(names), *names, len(rows), self._place.hot_ms, self._place.history_ms, *values]

    def close(self) -> None:
        """Let go of connections."""
        if self._client is not None:
            self._client.close()

    def _redis(self) -> Any:
        """Return the client, connected when it is first needed: its server may come up after this process."""
        if self._client is None:
            self._client = connected(self._place)
        return self._client
