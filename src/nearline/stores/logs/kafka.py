"""The log on Kafka: a topic each for events, items and impressions, divided by visitor; JSON messages."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.schema.event import Record, Topic
from nearline.stores.adapters import shown as shown_url
from nearline.stores.kafka.broker import Broker
from nearline.stores.kafka.pages import KafkaGroup, KafkaTail, records_of
from nearline.stores.kafka.topics import PATIENCE, Config, configured, make_topics, settled
from nearline.stores.log import Ends, Position, routed
from nearline.stores.messages import encode_message
from nearline.stores.open_log import LogPlace


def open_log(place: LogPlace) -> KafkaLog:
    """Open the topics of a tenant, and make those that are not there, where it is not only read.

    The URL is kafka://host:port,host:port/prefix?name=value, where names are librdkafka's settings (security.protocol and
    the like).

    Raises:
        NearlineError: no broker answers, or the topics have other partitions.
    """
    config, names = configured(place)
    shown = shown_url(place.url)
    try:
        make_topics(AdminClient(config), names, place)
    except KafkaException as error:
        remedy = f"start the brokers, or name others; Kafka says: {error.args[0].str()}"
        raise NearlineError("storage.log", shown, remedy) from error
    broker = Broker(config, names, shown)
    if not place.read_only:
        broker.producer()  # a broker takes up to a second to know a new one: not in the first event's time
    return KafkaLog(broker, place.partitions)


class KafkaLog:
    """A `Log` on Kafka, and one of its partitions.

    Args:
        broker: the connections.
        partitions: of `user_events` and `feedback`.
    """

    shared = True

    def __init__(self, broker: Broker, partitions: int) -> None:
        self._broker, self.partitions, self._number = broker, partitions, 0
        self._appending = threading.Lock()

    def partition(self, number: int) -> KafkaLog:
        """Return one partition, to read from; it shares the connections."""
        if number == self._number:
            return self
        other = KafkaLog.__new__(KafkaLog)
        other._broker, other.partitions, other._number = self._broker, self.partitions, number
        other._appending = self._appending
        return other

    def append(self, batches: Mapping[Topic, Sequence[Record]]) -> dict[Topic, Ends]:
        """Append, and return once all replicas in sync have it.

        Raises:
            StoreUnavailableError: some of it was not acknowledged in time; what was may come twice, by the same id.
        """
        self._open()
        ends: dict[Topic, Ends] = {}
        failed: list[KafkaError] = []

        def delivered(error: KafkaError | None, message: Message, topic: Topic, number: int) -> None:
            offset = message.offset()
            if error is not None or offset is None:
                failed.append(error or KafkaError(KafkaError.UNKNOWN))
                return
            ends[topic][number] = max(ends[topic].get(number, 0), offset + 1)

        with self._appending:
            producer, names = self._broker.producer(), self._broker.names
            for topic, number, records in routed(batches, self.partitions):
                ends.setdefault(topic, {})

                def told(error: KafkaError | None, message: Message, at: Position = (topic, number)) -> None:
                    delivered(error, message, *at)

                for record in records:
                    key = record.item_id if topic == "item_events" else record.user_id or record.session_id
                    value = encode_message(record)
                    while True:
                        try:
                            producer.produce(names[topic], value, key.encode(), number, on_delivery=told)
                            break
                        except BufferError:
                            producer.poll(0.1)
                        except KafkaException as error:
                            self._broker.renew()
                            raise StoreUnavailableError(f"{self._broker.shown} took nothing: {error}") from error
            producer.flush()
        if failed:
            if any(error.fatal() for error in failed):
                self._broker.renew()
            raise StoreUnavailableError(f"{self._broker.shown} did not acknowledge {len(failed)} records: {failed[0].str()}")
        return ends

    def tail(self, at: Mapping[Position, int]) -> KafkaTail:
        """Return a reader of what comes from these offsets on."""
        self._open()
        return KafkaTail(self._broker.consumer(), self._broker.names, at)

    def group(self, name: str, given: Callable[[dict[int, int]], None], taken: Callable[[list[int]], None]) -> KafkaGroup:
        """Join a consumer group for `user_events`."""
        self._open()
        names: dict[Topic, str] = {"user_events": self._broker.names["user_events"]}
        own: Config = {"partition.assignment.strategy": "cooperative-sticky", "session.timeout.ms": 10_000}
        return KafkaGroup(self._broker.consumer(self._group(name), own), names, given, taken)

    def read(self, topic: Topic, start: int, limit: int) -> tuple[int, list[Record]]:
        """Return up to `limit` consecutive records from `start` on, after the offset of the first."""
        first, end = self._ends(topic)
        if start >= end or limit <= 0:
            return max(start, first), []
        start = max(start, first)
        messages = self._broker.read(topic, self._number, start, min(limit, end - start))
        return start, records_of(messages)

    def start(self, topic: Topic) -> int:
        """Return the offset of the first record kept, or the end where none is."""
        return self._ends(topic)[0]

    def end(self, topic: Topic) -> int:
        """Return the offset that the next record gets."""
        return self._ends(topic)[1]

    def offset_at(self, topic: Topic, ms: int) -> int:
        """Return where the first record is that came at `ms` or later by the broker's clock, or the end."""
        place = TopicPartition(self._broker.names[topic], self._number, max(0, ms))
        group = self._broker.group("nearline-times")
        (found,) = settled(self._broker.shown, lambda: group.offsets_for_times([place], PATIENCE))
        return found.offset if found.offset >= 0 else self.end(topic)

    def commit(self, consumer: str, topic: Topic, offset: int) -> None:
        """Remember durably that `consumer` is done with everything below `offset`."""
        place, group = (
            TopicPartition(self._broker.names[topic], self._number, offset),
            self._broker.group(self._group(consumer)),
        )
        settled(self._broker.shown, lambda: group.commit(offsets=[place], asynchronous=False))

    def committed(self, consumer: str, topic: Topic) -> int:
        """Return what `consumer` committed last, 0 for nothing."""
        place, group = TopicPartition(self._broker.names[topic], self._number), self._broker.group(self._group(consumer))
        (found,) = settled(self._broker.shown, lambda: group.committed([place], PATIENCE))
        return max(0, found.offset)

    def trim(self, topic: Topic, before: int) -> int:
        """Drop what is below `before`; return how many records went."""
        first, end = self._ends(topic)
        before = min(before, end)
        if before <= first:
            return 0
        (done,) = (
            self._broker.admin().delete_records([TopicPartition(self._broker.names[topic], self._number, before)]).values()
        )
        settled(self._broker.shown, done.result)
        return before - first

    def close(self) -> None:
        """Let go of connections. Closing twice is fine."""
        self._broker.close()

    def _group(self, consumer: str) -> str:
        return f"{self._broker.names['user_events'].removesuffix('.user_events')}.{consumer}"

    def _ends(self, topic: Topic) -> tuple[int, int]:
        self._open()
        return settled(self._broker.shown, lambda: self._broker.ends(topic, self._number))

    def _open(self) -> None:
        if self._broker.closed:
            raise NearlineError("storage.log", self._broker.shown, "this log is closed")
