"""What rows in one Redis and in a cluster of them share: client, names of keys, and the script that writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import ConnectionError as ConnectionLostError
from redis.exceptions import RedisClusterException, RedisError
from redis.retry import Retry

from nearline.schema.errors import StoreUnavailableError
from nearline.stores.adapters import shown
from nearline.stores.user_rows import RowsLostError, RowsPlace, UserRow

FAILED = (RedisError, RedisClusterException, OSError)
"""What a client raises where nobody answers; that of a cluster has errors of another family for the same."""
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


def in_cluster(url: str) -> bool:
    """Return whether a URL means a cluster."""
    return url.partition(":")[0].endswith("+cluster")


def connected(place: RowsPlace) -> Any:
    """Return a client; a cluster is asked for its nodes at once, a server when it is first asked for something."""
    wait: dict[str, Any] = {"socket_timeout": place.timeout, "socket_connect_timeout": place.timeout}
    # A connection that was closed meanwhile is made anew; a server that is silent is not waited for twice.
    retry = Retry(NoBackoff(), 1, (ConnectionLostError,))
    if not in_cluster(place.url):
        return Redis.from_url(place.url.replace("redis+unix:", "unix:", 1), retry=retry, **wait)
    # Whoever starts while one node is away learns of the others by the next that is named.
    netloc = urlsplit(place.url).netloc
    first, *others = netloc.split(",")
    parts = [urlsplit(f"//{other}") for other in others]
    nodes = [ClusterNode(part.hostname, part.port or 6379) for part in parts]  # type: ignore[no-untyped-call]
    url = place.url.replace("+cluster", "", 1).replace(netloc, first, 1)
    return RedisCluster.from_url(url, startup_nodes=nodes, retry=retry, **wait)


class RedisBase:
    """A client that connects when it is first needed, and what things are called.

    Keys are `<tenant>:user:{<key in hex>}:features` for the hot row and `...:history`; both are in one slot of a cluster.
    """

    def __init__(self, place: RowsPlace) -> None:
        self._place = place
        self._client: Any = None
        self._prefix = f"{place.tenant}:user:{{"

    def names(self, visitor: int) -> list[str]:
        """Return the names of a visitor's hot row and of his history."""
        name = f"{self._prefix}{visitor:016x}}}:"
        return [name + "features", name + "history"]

    def close(self) -> None:
        """Let go of connections."""
        if self._client is not None:
            self._client.close()

    def _redis(self) -> Any:
        """Return the client, connected when it is first needed: its server may come up after this process."""
        if self._client is None:
            self._client = connected(self._place)
        return self._client

    def _writing(self, rows: Sequence[UserRow], progress: Sequence[tuple[str, int, int]] = ()) -> list[Any]:
        """Return a call of the script; progress: (key, what it comes to, what it was when last seen)."""
        names = [name for row in rows for name in self.names(row.visitor)] + [name for name, _, _ in progress]
        values: list[Any] = [value for row in rows for value in (row.hot, row.history)]
        values += [value for _, end, seen in progress for value in (end, seen)]
        return ["EVAL", WRITE, len(names), *names, len(rows), self._place.hot_ms, self._place.history_ms, *values]

    def _away(self, error: object) -> StoreUnavailableError:
        return StoreUnavailableError(f"{shown(self._place.url)} does not answer: {error}")

    def _lost(self, partitions: Sequence[int]) -> RowsLostError:
        return RowsLostError(f"{shown(self._place.url)} has gone back: rows of partitions {sorted(partitions)} are lost")
