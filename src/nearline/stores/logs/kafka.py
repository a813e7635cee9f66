"""The log on Kafka: a topic each for events, items and impressions, divided by visitor; JSON messages."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from nearline.schema.clock import DAY
from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.schema.event import TOPICS, Record, Topic
from nearline.stores.log import Ends, Page, Position, pages_of, routed
from nearline.stores.messages import decode_messages, encode_message
from nearline.stores.open_log import LogPlace
from nearline.stores.open_log import shown as shown_url

logger = logging.getLogger("nearline.kafka")
T = TypeVar("T")
Config = dict[str, str | int | float | bool]
PATIENCE = 10.0
"""Seconds that the broker may take to answer a question."""
LOOK = 2.0
"""Seconds that it may take to say where a topic ends."""
DELIVERY = 5_000
"""Milliseconds after which a record that no broker acknowledged is refused."""
READERS = 4
"""Partitions that are read at the same time, by `read`."""
UNSETTLED = {
    KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC,
}  # fmt: skip
"""Errors of brokers that have not settled yet who answers: after a start, or when a topic is new."""
LIMIT = 5_000
"""Records that a tail hands over at a time."""
CATCHING_UP = 20_000
"""Records that a group hands over at a time: of a backlog, the more the fewer times a visitor's rows are written."""


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
        _make(AdminClient(config), names, place)
    except KafkaException as error:
        remedy = f"start the brokers, or name others; Kafka says: {error.args[0].str()}"
        raise NearlineError("storage.log", shown, remedy) from error
    return KafkaLog(config, names, place.partitions, shown)


def configured(place: LogPlace) -> tuple[Config, dict[Topic, str]]:
    """Return the client's settings and the names of the topics that a URL means."""
    url = urlsplit(place.url)
    if not url.netloc:
        raise NearlineError("storage.log", place.url, 'name the brokers: "kafka://127.0.0.1:9092"')
    config: Config = {"bootstrap.servers": url.netloc, "log_level": 0, **dict(parse_qsl(url.query))}
    prefix = ".".join(part for part in (url.path.strip("/"), place.tenant) if part)
    return config, {topic: f"{prefix}.{topic}" for topic in TOPICS}


def _make(admin: AdminClient, names: Mapping[Topic, str], place: LogPlace) -> None:
    found = admin.list_topics(timeout=PATIENCE).topics
    wanted = {name: 1 if topic == "item_events" else place.partitions for topic, name in names.items()}
    if missing := [name for name in wanted if name not in found]:
        if place.read_only:
            raise NearlineError("storage.log", missing[0], "no such topic is there; start the server first")
        # The catalogue and what is declared are small, and every start needs them whole.
        keep = {name: "-1" if name == names["item_events"] else str(place.keep_days * DAY) for name in missing}
        new = [NewTopic(name, wanted[name], config={"retention.ms": keep[name]}) for name in missing]
        for name, made in admin.create_topics(new).items():
            try:
                made.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
            while name not in (found := admin.list_topics(timeout=PATIENCE).topics):
                time.sleep(0.05)
    for name, partitions in wanted.items():
        if (real := len(found[name].partitions)) != partitions:
            remedy = f"topic {name} has {real}; visitors would change their partition, so set this to {real}"
            raise NearlineError("storage.partitions", partitions, remedy)


def _settled(shown: str, ask: Callable[[], T]) -> T:
    """Return a broker's answer, asking again while it does not know yet who has to answer.

    Raises:
        StoreUnavailableError: it does not answer, or refuses.
    """
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in UNSETTLED or time.monotonic() > until:
                raise StoreUnavailableError(f"{shown}: {error.args[0].str()}") from error
            time.sleep(0.05)


class _Broker:
    """The connections that all partitions share."""

    def __init__(self, config: Config, names: Mapping[Topic, str], shown: str) -> None:
        self.config, self.names, self.shown = config, names, shown
        own: Config = {"enable.idempotence": True, "acks": "all", "linger.ms": 1, "message.timeout.ms": DELIVERY}
        self._producer_config: Config = {**own, "queue.buffering.max.messages": 200_000, **config}
        self._producer: Producer | None = None
        self._admin: AdminClient | None = None
        self._readers: OrderedDict[Position, _Reader] = OrderedDict()
        self._groups: dict[str, Consumer] = {}
        self._asking: Consumer | None = None
        self._lock = threading.RLock()
        self.closed = False

    def consumer(self, group: str = "nearline", more: Config | None = None) -> Consumer:
        """Return a new consumer that reads where it is told to."""
        own: Config = {"group.id": group, "enable.auto.commit": False, "enable.auto.offset.store": False}
        # Whoever reads from another place waits for the question under way to come back.
        return Consumer({**own, "auto.offset.reset": "earliest", "fetch.wait.max.ms": 20, **(more or {}), **self.config})

    def group(self, name: str) -> Consumer:
        """Return the consumer that keeps another's place."""
        with self._lock:
            if name not in self._groups:
                self._groups[name] = self.consumer(name)
            return self._groups[name]

    def ends(self, topic: Topic, number: int) -> tuple[int, int]:
        """Return the first offset that is kept, and the next one."""
        with self._lock:
            self._asking = self._asking or self.consumer()
            found = self._asking.get_watermark_offsets(TopicPartition(self.names[topic], number), LOOK)
        if found is None:
            raise StoreUnavailableError(f"{self.shown} does not answer")
        return found

    def admin(self) -> AdminClient:
        """Return who asks the brokers for changes."""
        self._admin = self._admin or AdminClient(self.config)
        return self._admin

    def producer(self) -> Producer:
        """Return the one producer."""
        self._producer = self._producer or Producer(self._producer_config)
        return self._producer

    def renew(self) -> None:
        """Have the next batch sent by a new producer: this one takes nothing any more."""
        self._producer = None

    def read(self, topic: Topic, number: int, start: int, count: int) -> list[Message]:
        """Return `count` messages from `start` on, which are known to be there."""
        with self._lock:
            reader = self._readers.pop((topic, number), None) or _Reader(self.consumer(), self.names[topic], number)
            self._readers[topic, number] = reader
            if len(self._readers) > READERS:
                self._readers.popitem(last=False)[1].consumer.close()
            return reader.read(start, count)

    def close(self) -> None:
        """Let go of everything."""
        with self._lock:
            self.closed = True
            if self._producer is not None:
                self._producer.flush(PATIENCE)
            for reader in self._readers.values():
                reader.consumer.close()
            for consumer in (*self._groups.values(), *([self._asking] if self._asking else [])):
                consumer.close()
            self._readers.clear()
            self._groups.clear()
            self._asking = self._producer = None


class _Reader:
    """A consumer that reads one partition on from where it was."""

    def __init__(self, consumer: Consumer, topic: str, number: int) -> None:
        self.consumer, self._topic, self._number, self._at = consumer, topic, number, -1

    def read(self, start: int, count: int) -> list[Message]:
        """Return `count` messages from `start` on.

        Raises:
            StoreUnavailableError: they don't come.
        """
        if start != self._at:
            self.consumer.assign([TopicPartition(self._topic, self._number, start)])
        out: list[Message] = []
        until = time.monotonic() + PATIENCE
        while len(out) < count:
            came = _good(self.consumer.consume(count - len(out), 0.5))
            out += came
            if not came and time.monotonic() > until:
                self._at = -1
                raise StoreUnavailableError(f"{self._topic} can't be read from {start} on")
        self._at = start + count
        return out


class KafkaLog:
    """A `Log` on Kafka, and one of its partitions.

    Args:
        config: librdkafka's settings.
        names: of the topics.
        partitions: of `user_events` and `feedback`.
        shown: the URL without secrets.
    """

    shared = True

    def __init__(self, config: Config, names: Mapping[Topic, str], partitions: int, shown: str) -> None:
        self._broker, self.partitions, self._number = _Broker(config, names, shown), partitions, 0
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
        return start, _records(messages)

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
        (found,) = _settled(self._broker.shown, lambda: group.offsets_for_times([place], PATIENCE))
        return found.offset if found.offset >= 0 else self.end(topic)

    def commit(self, consumer: str, topic: Topic, offset: int) -> None:
        """Remember durably that `consumer` is done with everything below `offset`."""
        place, group = (
            TopicPartition(self._broker.names[topic], self._number, offset),
            self._broker.group(self._group(consumer)),
        )
        _settled(self._broker.shown, lambda: group.commit(offsets=[place], asynchronous=False))

    def committed(self, consumer: str, topic: Topic) -> int:
        """Return what `consumer` committed last, 0 for nothing."""
        place, group = TopicPartition(self._broker.names[topic], self._number), self._broker.group(self._group(consumer))
        (found,) = _settled(self._broker.shown, lambda: group.committed([place], PATIENCE))
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
        _settled(self._broker.shown, done.result)
        return before - first

    def close(self) -> None:
        """Let go of connections. Closing twice is fine."""
        self._broker.close()

    def _group(self, consumer: str) -> str:
        return f"{self._broker.names['user_events'].removesuffix('.user_events')}.{consumer}"

    def _ends(self, topic: Topic) -> tuple[int, int]:
        self._open()
        return _settled(self._broker.shown, lambda: self._broker.ends(topic, self._number))

    def _open(self) -> None:
        if self._broker.closed:
            raise NearlineError("storage.log", self._broker.shown, "this log is closed")


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
        came = _good(came)
        pages: list[Page] = []
        parts: dict[tuple[str, int], list[Message]] = {}
        for message in came:
            parts.setdefault((message.topic() or "", message.partition() or 0), []).append(message)
        for (name, number), messages in parts.items():
            offsets = [message.offset() or 0 for message in messages]
            pages += pages_of(self._topics[name], number, offsets, _records(messages))
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
        found = _settled(self._name, lambda: consumer.committed(places, PATIENCE))
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


def _good(messages: Sequence[Message]) -> list[Message]:
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


def _records(messages: Sequence[Message]) -> list[Record]:
    return decode_messages([message.value() for message in messages], [message.timestamp()[1] for message in messages])
