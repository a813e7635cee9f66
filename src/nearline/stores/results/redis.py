"""Results in Redis or Valkey, one server or a cluster: a value per user and surface, and a notice on a channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from nearline.schema.errors import StoreUnavailableError
from nearline.schema.result import Result
from nearline.stores.adapters import shown
from nearline.stores.subscriber import Failure, SubscriberPlace
from nearline.stores.user_rows import RowsPlace
from nearline.stores.users._masters import ask_masters
from nearline.stores.users._redis import FAILED, connected, in_cluster

WRITE = """
local old = redis.call('GET', KEYS[1])
if old then
  local fine, was = pcall(cjson.decode, old)
  if fine and type(was) == 'table' and was.offset and was.made_at then
    local offset, made = tonumber(ARGV[2]), tonumber(ARGV[3])
    if was.offset > offset or (was.offset == offset and was.made_at >= made) then return 0 end
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[4])
redis.call('PUBLISH', ARGV[5], ARGV[6])
return 1
"""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Result).decode


def open_subscriber(place: SubscriberPlace) -> RedisResults:
    """Open redis://host:port/db, rediss:// with TLS, redis+unix:///path, or redis+cluster://host:port,host:port."""
    return RedisResults(place)


class RedisResults:
    """A `Subscriber` and `ResultStore` in Redis.

    A value is the result as JSON, at `<tenant>:list:{<user_id>}:<surface>`. The channel `<tenant>:lists` gets
    `{"user_id", "surface", "offset", "request_id"}` for each that changed.
    """

    def __init__(self, place: SubscriberPlace) -> None:
        self._place, self._client = place, None

    _client: Any

    def deliver(self, results: Sequence[Result]) -> list[Failure]:
        """Write what is newer than what is there, in one round trip."""
        calls, channel = [], f"{self._place.tenant}:lists"
        for result in results:
            notice = {name: getattr(result, name) for name in ("user_id", "surface", "offset", "request_id")}
            arguments = (_encode(result), *result.age, self._place.keep_ms, channel, _encode(notice))
            calls.append(("EVAL", WRITE, 1, self._key(result.user_id, result.surface), *arguments))
        try:
            if in_cluster(self._place.url):
                answers = ask_masters(self._redis(), calls)
            else:
                pipeline = self._redis().pipeline(transaction=False)
                for call in calls:
                    pipeline.execute_command(*call)
                answers = pipeline.execute(raise_on_error=False)
        except FAILED as error:
            raise self._away(error) from error
        wrong = [(place, answer) for place, answer in enumerate(answers) if isinstance(answer, Exception)]
        return [Failure(place, f"{shown(self._place.url)}: {answer}") for place, answer in wrong]

    def latest(self, user_id: str, surface: str) -> Result | None:
        """Return the value that is there."""
        try:
            found = self._redis().get(self._key(user_id, surface))
        except FAILED as error:
            raise self._away(error) from error
        return _decode(found) if found else None

    def close(self) -> None:
        """Let go of connections."""
        if self._client is not None:
            self._client.close()

    def _key(self, user_id: str, surface: str) -> str:
        return f"{self._place.tenant}:list:{{{user_id}}}:{surface}"

    def _redis(self) -> Any:
        if self._client is None:
            self._client = connected(RowsPlace(self._place.url, self._place.tenant, 0, 0, self._place.timeout))
        return self._client

    def _away(self, error: Exception) -> StoreUnavailableError:
        return StoreUnavailableError(f"{shown(self._place.url)} does not answer: {error}")
