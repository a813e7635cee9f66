"""Readers of topics as messages come: a tail of all partitions, and a member of a group."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from nearline.schema.errors import StoreUnavailableError
from nearline.schema.event import Record, Topic
from nearline.stores.kafka.topics import PATIENCE, settled
from nearline.stores.log import Page, Position, pages_of
from nearline.stores.messages import decode_messages

logger = logging.getLogger("nearline.kafka")
LIMIT = 5_000
"""Records that a tail hands over at a time."""
CATCHING_UP = 20_000
"""Records that a group hands over at a time: of a backlog, the more the fewer times a visitor's rows are written."""


class _Pages:
    """What comes to topics, as the broker pushes it."""

    def __init__(self, consumer: Consumer, names: Mapping[Topic, str], limit: int) -> None:
        self._consumer, self._limit = consumer, limit
        self._topics = {name: topic for topic, name in names.items()}

    def next(self, seconds: float) -> list[Page]:
        """Return what has come since, waiting up to `seconds` for anything."""
        # Asked for many, `consume` waits for all of them: so first for one, then for what is there.
        came = [message for message in [self._consumer.poll(seconds)] if message is not None]
        if came and came[0].error() is None:
            came += self._consumer.consume(self._limit, 0)
        came = good(came)
        pages: list[Page] = []
        parts: dict[tuple[str, int], list[Message]] = {}
        for message in came:
            parts.setdefault((message.topic() or "", message.partition() or 0), []).append(message)
        for (name, number), messages in parts.items():
            offsets = [message.offset() or 0 for message in messages]
            pages += pages_of(self._topics[name], number, offsets, records_of(messages))
        return pages

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()


class KafkaTail(_Pages):
    """What comes to all partitions.

    Args:
        consumer: its own.
        names: of the topics.
        at: offsets to begin at.
    """

    def __init__(self, consumer: Consumer, names: Mapping[Topic, str], at: Mapping[Position, int]) -> None:
        super().__init__(consumer, names, LIMIT)
        consumer.assign([TopicPartition(names[topic], number, offset) for (topic, number), offset in at.items()])


class KafkaGroup(_Pages):
    """What comes to the partitions that the group gave us.

    Args:
        consumer: its own, in the group.
        names: of the one topic.
        given, taken: told about partitions that change hands.
    """

    def __init__(
        self,
        consumer: Consumer,
        names: Mapping[Topic, str],
        given: Callable[[dict[int, int]], None],
        taken: Callable[[list[int]], None],
    ) -> None:
        super().__init__(consumer, names, CATCHING_UP)
        (self._name,) = names.values()
        self._given, self._taken = given, taken
        consumer.subscribe([self._name], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)

    def _assigned(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        if not places:
            return
        found = settled(self._name, lambda: consumer.committed(places, PATIENCE))
        begin = {place.partition: max(0, place.offset) for place in found}
        self._given(begin)
        consumer.incremental_assign([TopicPartition(self._name, number, offset) for number, offset in begin.items()])

    def _revoked(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        self._taken([place.partition for place in places])

    def seek(self, starts: Mapping[int, int]) -> None:
        """Go on from other offsets, in partitions that are ours."""
        places = [TopicPartition(self._name, number, offset) for number, offset in starts.items()]
        # Assigned anew rather than sought: what was fetched ahead is dropped, and it works right after a takeover.
        self._consumer.incremental_unassign(places)
        self._consumer.incremental_assign(places)

    def commit(self, ends: Mapping[int, int]) -> None:
        """Remember how far partitions are done; of one that is another's by now nothing is remembered."""
        if not ends:
            return
        try:
            self._consumer.commit(offsets=[TopicPartition(self._name, n, end) for n, end in ends.items()], asynchronous=False)
        except KafkaException as error:
            logger.warning("offsets were not committed; that much is read again", extra={"error": error.args[0].str()})


def good(messages: Sequence[Message]) -> list[Message]:
    """Return the messages that are none of the broker's own errors.

    Raises:
        StoreUnavailableError: there are errors alone that don't go away by themselves; what was taken in is never dropped.
    """
    good = [message for message in messages if message.error() is None]
    for error in [error for message in messages if (error := message.error()) is not None]:
        if error.retriable() or error.code() == KafkaError._ALL_BROKERS_DOWN:
            continue
        if not good:
            raise StoreUnavailableError(f"Kafka can't be read: {error.str()}")
        logger.warning("Kafka can't be read on; what came before serves", extra={"error": error.str()})
    return good


def records_of(messages: Sequence[Message]) -> list[Record]:
    """Return messages as records."""
    return decode_messages([message.value() for message in messages], [message.timestamp()[1] for message in messages])
