"""Results on a topic of Kafka, as JSON, with the user's id as key."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl, urlsplit

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.schema.result import Result
from nearline.stores.adapters import shown
from nearline.stores.subscriber import Failure, SubscriberPlace

_encode = msgspec.json.Encoder().encode
PARTITIONS = 6
"""Of a topic that is made here."""
TOO_LARGE = KafkaError.MSG_SIZE_TOO_LARGE
Config = dict[str, str | int | float | bool]


def open_subscriber(place: SubscriberPlace) -> KafkaResults:
    """Open kafka://host:port,host:port/topic?name=value, where names are librdkafka's settings.

    Without a topic it is `<tenant>.results`. A topic that is not there is made, with the broker's own defaults.
    """
    return KafkaResults(place)


class KafkaResults:
    """Produces idempotently, and waits for all replicas in sync; all of a user's results are in one partition, in order."""

    def __init__(self, place: SubscriberPlace) -> None:
        url = urlsplit(place.url)
        if not url.netloc:
            raise NearlineError("publish.to", place.url, 'name the brokers: "kafka://127.0.0.1:9092/results"')
        self._shown = shown(place.url)
        self._topic = url.path.strip("/") or f"{place.tenant}.results"
        self._timeout = place.timeout
        self._config: Config = {"bootstrap.servers": url.netloc, "log_level": 0, **dict(parse_qsl(url.query))}
        self._producer: Producer | None = None

    def deliver(self, results: Sequence[Result]) -> list[Failure]:
        """Produce results, and wait for what the brokers say."""
        producer = self._connected()
        told: dict[int, KafkaError | None] = {}
        for place, result in enumerate(results):

            def tell(error: KafkaError | None, message: Message, place: int = place) -> None:
                told[place] = error

            try:
                producer.produce(self._topic, _encode(result), result.user_id.encode(), on_delivery=tell)
            except KafkaException as error:
                told[place] = error.args[0]
            except BufferError:
                told[place] = KafkaError(KafkaError._QUEUE_FULL)
        producer.flush(self._timeout + 1)
        wrong = [(place, told.get(place, KafkaError(KafkaError._TIMED_OUT))) for place in range(len(results))]
        failed = [(place, error) for place, error in wrong if error is not None]
        if any(error.fatal() for _, error in failed):
            self._producer = None
        return [Failure(place, f"{self._shown}: {error.str()}", error.code() == TOO_LARGE) for place, error in failed]

    def _connected(self) -> Producer:
        if self._producer is None:
            try:
                admin = AdminClient(self._config)
                if self._topic not in admin.list_topics(timeout=self._timeout).topics:
                    for made in admin.create_topics([NewTopic(self._topic, PARTITIONS)]).values():
                        made.result(self._timeout)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise StoreUnavailableError(f"{self._shown} does not answer: {error.args[0].str()}") from error
            own: Config = {"enable.idempotence": True, "acks": "all", "linger.ms": 1}
            patience = int(self._timeout * 1000)
            self._producer = Producer({**own, "message.timeout.ms": patience, **self._config})
        return self._producer

    def close(self) -> None:
        """Let go of the connection."""
        self._producer = None
