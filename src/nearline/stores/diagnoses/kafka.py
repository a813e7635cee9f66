"""What Kafka says of its topics: copies, and how long they are kept."""

from __future__ import annotations

from collections.abc import Iterator

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType

from nearline.schema.clock import DAY
from nearline.stores.adapters import shown
from nearline.stores.finding import Finding
from nearline.stores.kafka.topics import configured
from nearline.stores.open_log import LogPlace

PATIENCE = 5.0
"""Seconds that the brokers may take for an answer."""


def diagnose(place: LogPlace) -> Iterator[Finding]:
    """Yield what the brokers say of a tenant's topics."""
    config, names = configured(place)
    try:
        admin = AdminClient(config)
        cluster = admin.list_topics(timeout=PATIENCE)
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names.values() if name in cluster.topics]
        if not resources:
            return  # opening the log says so
        settings = {r.name: found.result(PATIENCE) for r, found in admin.describe_configs(resources).items()}
    except KafkaException as error:
        yield Finding(
            "wrong",
            "Kafka",
            error.args[0].str(),
            "nothing can be stored or followed",
            f"start the brokers of {shown(place.url)}",
        )
        return
    copies = min((len(p.replicas) for name in settings for p in cluster.topics[name].partitions.values()), default=0)
    short = [
        f"{name}-{n}"
        for name in settings
        for n, p in cluster.topics[name].partitions.items()
        if p.leader < 0 or len(p.isrs) < len(p.replicas)
    ]
    if short:
        yield Finding(
            "wrong",
            "Kafka's copies",
            f"missing of {', '.join(short[:5])}",
            "a broker more that fails may lose events or stop writing",
            "bring the missing broker back, or reassign its partitions",
        )
    elif copies < 2 <= len(cluster.brokers):
        yield Finding(
            "warning",
            "Kafka's copies",
            f"{copies} of each partition on {len(cluster.brokers)} brokers",
            "what one broker loses is lost",
            "raise the topics' replication factor to 3, with min.insync.replicas=2",
        )
    else:
        yield Finding("ok", "Kafka's copies", f"{copies} of each partition on {len(cluster.brokers)} brokers")
    for topic, name in names.items():
        if name not in settings:
            continue
        kept = int(settings[name]["retention.ms"].value)
        wanted = -1 if topic == "item_events" else place.keep_days * DAY
        if kept != -1 and (wanted == -1 or kept < wanted):
            days = "for ever" if wanted == -1 else f"{place.keep_days} days (retention.log_days)"
            yield Finding(
                "wrong",
                f"Kafka keeps {name}",
                f"{kept / DAY:g} days",
                f"it must be kept {days}; what is dropped before it is archived is gone",
                f"set the topic's retention.ms to {wanted}",
            )
