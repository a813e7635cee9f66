"""What a publisher's `/metrics` says; the registry and the reference page are both made from `METRICS`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from msgspec import Struct
from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from nearline.embedded.publishing.courier import Courier
from nearline.embedded.publishing.publisher import Publisher
from nearline.schema.errors import NearlineError


class Told(Struct, frozen=True):
    """One metric, and where its value comes from: the publisher, or each of its couriers."""

    name: str
    type: Literal["counter", "gauge"]
    help: str
    read: Callable[[Publisher], float] | None = None
    of_each: Callable[[Courier], float] | None = None


METRICS: tuple[Told, ...] = (
    Told("nearline_results_delivered_total", "counter", "Lists that a subscriber has.", of_each=lambda c: c.delivered),
    Told("nearline_results_retried_total", "counter", "Deliveries that failed, tried again.", of_each=lambda c: c.retried),
    Told("nearline_results_dead_total", "counter", "Lists that went to the dead letters.", of_each=lambda c: c.dead),
    Told("nearline_results_waiting", "gauge", "Lists that wait for a subscriber.", of_each=lambda c: c.waiting),
    Told("nearline_results_made_total", "counter", "Lists that were made.", lambda p: p.made),
    Told("nearline_results_failed_total", "counter", "Users whose lists could not be made.", lambda p: p.failed),
    Told("nearline_publish_partitions", "gauge", "Partitions that this publisher has.", lambda p: len(p.ledger.partitions)),
    Told("nearline_publish_lag_events", "gauge", "Events of its partitions that it is not done with.", lambda p: p.lag),
    Told("nearline_publish_lag_seconds", "gauge", "Age of the oldest event whose lists wait; 0: none.", lambda p: p.oldest),
)


class PublisherMetrics(Collector):
    """Reads a publisher's numbers when it is asked."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def describe(self) -> Iterable[Metric]:
        """Return nothing: names are those of the table."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Return all metrics as Prometheus has them."""
        for one in METRICS:
            made = CounterMetricFamily if one.type == "counter" else GaugeMetricFamily
            family = made(one.name, one.help, labels=["subscriber"] if one.of_each else [])
            if one.of_each:
                for courier in self._publisher.couriers:
                    family.add_metric([courier.name], float(one.of_each(courier)))
            elif one.read:
                family.add_metric([], float(one.read(self._publisher)))
            yield family


def serve_metrics(publisher: Publisher, address: str) -> int:
    """Answer GET /metrics beside a publisher, from a thread of its own; return the port.

    Args:
        publisher: whose.
        address: such as "127.0.0.1:9465"; port 0 takes a free one.

    Raises:
        NearlineError: the address is none, or taken.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise NearlineError("--metrics", address, "write host and port, such as 127.0.0.1:9465")
    registry = CollectorRegistry()
    registry.register(PublisherMetrics(publisher))
    ProcessCollector(registry=registry)
    try:
        server, _ = start_http_server(int(port), host.strip("[]"), registry)
    except OSError as error:
        raise NearlineError("--metrics", address, f"another address is needed: {error.strerror}") from error
    return int(server.server_port)


def reference() -> str:
    """Return the part of `docs/reference/metrics.md` that is about publishers."""
    lines = [
        "",
        "## Publishers",
        "",
        "`nearline publish --metrics 127.0.0.1:9465` answers `GET /metrics` beside a publisher, with the process's own too.",
        "",
        "| metric | type | label | what it says |",
        "| --- | --- | --- | --- |",
        *(f"| `{m.name}` | {m.type} | {'`subscriber`' if m.of_each else ''} | {m.help} |" for m in METRICS),
    ]
    return "\n".join(lines) + "\n"
