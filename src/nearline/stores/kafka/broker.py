"""Connections to a broker, which all partitions of a log share."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from nearline.schema.errors import StoreUnavailableError
from nearline.schema.event import Topic
from nearline.stores.kafka.pages import good
from nearline.stores.kafka.topics import PATIENCE, Config
from nearline.stores.log import Position

LOOK = 2.0
"""Seconds that it may take to say where a topic ends."""
DELIVERY = 5_000
"""Milliseconds after which a record that no broker acknowledged is refused."""
CONNECTING = 0.5
"""Seconds that a new producer waits for a broker."""
READERS = 4
"""Partitions that are read at the same time, by `read`."""


class Broker:
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
        """Return the one producer, connected if a broker answers: else its first record waits a second for that."""
        if self._producer is None:
            self._producer = Producer(self._producer_config)
            with contextlib.suppress(KafkaException):
                self._producer.list_topics(timeout=CONNECTING)
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
            came = good(self.consumer.consume(count - len(out), 0.5))
            out += came
            if not came and time.monotonic() > until:
                self._at = -1
                raise StoreUnavailableError(f"{self._topic} can't be read from {start} on")
        self._at = start + count
        return out
