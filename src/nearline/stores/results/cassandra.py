"""Results in Cassandra: one row per user and surface, which conditional writes keep from going backwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from nearline.schema.result import Result, newest
from nearline.stores.cassandra.session import Cassandra
from nearline.stores.subscriber import Failure, SubscriberPlace

TABLES = (
    """CREATE TABLE IF NOT EXISTS {keyspace}.lists (tenant text, user_id text, surface text, age varint, list text,
        PRIMARY KEY ((tenant, user_id, surface)))""",
)
REPLACE = (
    "UPDATE {keyspace}.lists USING TTL ? SET age = ?, list = ? WHERE tenant = ? AND user_id = ? AND surface = ? IF age < ?"
)
ADD = "INSERT INTO {keyspace}.lists (tenant, user_id, surface, age, list) VALUES (?, ?, ?, ?, ?) IF NOT EXISTS USING TTL ?"
READ = "SELECT list FROM {keyspace}.lists WHERE tenant = ? AND user_id = ? AND surface = ?"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Result).decode


def open_subscriber(place: SubscriberPlace) -> CassandraResults:
    """Open cassandra://user:password@host,host:9042/keyspace?dc=name."""
    return CassandraResults(place)


class CassandraResults:
    """A `Subscriber` and `ResultStore` in Cassandra; who delivers first makes the table in a keyspace that is there."""

    def __init__(self, place: SubscriberPlace) -> None:
        self._place, self._keep_s = place, place.keep_ms // 1000
        self._store = Cassandra(place.url, "publish.to", place.timeout, TABLES)

    def deliver(self, results: Sequence[Result]) -> list[Failure]:
        """Replace what is older, add where there is nothing, and replace what another added meanwhile."""
        self._store.make()
        left = newest(list(results))
        for statement in (REPLACE, ADD, REPLACE):
            answers = self._store.ask(statement, [self._values(statement, results[place]) for place in left])
            left = [place for place, (answer,) in zip(left, answers, strict=True) if _again(answer, results[place])]
        return [Failure(place, "others wrote the same list meanwhile") for place in left]

    def _values(self, statement: str, result: Result) -> tuple[object, ...]:
        key, text, age = (self._place.tenant, result.user_id, result.surface), _encode(result).decode(), _age(result)
        return (*key, age, text, self._keep_s) if statement == ADD else (self._keep_s, age, text, *key, age)

    def latest(self, user_id: str, surface: str) -> Result | None:
        """Return the row that is there."""
        ((*found,),) = self._store.ask(READ, [(self._place.tenant, user_id, surface)])
        return _decode(found[0].list) if found else None

    def close(self) -> None:
        """Let go of connections."""
        self._store.close()


def _age(result: Result) -> int:
    """Return what orders two results, as one number."""
    return (result.offset << 64) + result.made_at


def _again(answer: Any, result: Result) -> bool:
    """Return whether a result is not there yet: it was refused, and what is there instead is older, or nothing."""
    there = getattr(answer, "age", None)
    return not answer.applied and (there is None or there < _age(result))
