"""Topics of a tenant: what they are called, how they are made, and the broker's answers about them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from nearline.schema.clock import DAY
from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.schema.event import TOPICS, Topic
from nearline.stores.open_log import LogPlace

T = TypeVar("T")
Config = dict[str, str | int | float | bool]
OWN: Config = {"log_level": 0, "reconnect.backoff.max.ms": 1000}
"""Settings of ours: a broker that was away for long is asked each second; clients would wait up to ten to find it again."""
PATIENCE = 10.0
"""Seconds that the broker may take to answer a question."""
UNSETTLED = {
    KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC,
}  # fmt: skip
"""Errors of brokers that have not settled yet who answers: after a start, or when a topic is new."""


def configured(place: LogPlace) -> tuple[Config, dict[Topic, str]]:
    """Return the client's settings and the names of the topics that a URL means."""
    url = urlsplit(place.url)
    if not url.netloc:
        raise NearlineError("storage.log", place.url, 'name the brokers: "kafka://127.0.0.1:9092"')
    config: Config = {"bootstrap.servers": url.netloc, **OWN, **dict(parse_qsl(url.query))}
    prefix = ".".join(part for part in (url.path.strip("/"), place.tenant) if part)
    return config, {topic: f"{prefix}.{topic}" for topic in TOPICS}


def make_topics(admin: AdminClient, names: Mapping[Topic, str], place: LogPlace) -> None:
    """Make the topics that are not there, where they are not only read.

    Raises:
        NearlineError: topics are missing, or have other partitions.
        KafkaException: no broker answers, or it refuses.
    """
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


def settled(shown: str, ask: Callable[[], T]) -> T:
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
