"""What a publisher's `/metrics` says."""

from __future__ import annotations

from collections.abc import Callable

from nearline.app.process_metrics import Told, part
from nearline.embedded.publishing.courier import Courier
from nearline.embedded.publishing.publisher import Publisher

WHO = "subscriber"


def _of(read: Callable[[Courier], float]) -> Callable[[Publisher], dict[str, float]]:
    return lambda publisher: {courier.name: read(courier) for courier in publisher.couriers}


METRICS = (
    Told("nearline_results_delivered_total", "counter", "Lists that a subscriber has.", _of(lambda c: c.delivered), WHO),
    Told("nearline_results_retried_total", "counter", "Deliveries that failed, tried again.", _of(lambda c: c.retried), WHO),
    Told("nearline_results_dead_total", "counter", "Lists that went to the dead letters.", _of(lambda c: c.dead), WHO),
    Told("nearline_results_waiting", "gauge", "Lists that wait for a subscriber.", _of(lambda c: c.waiting), WHO),
    Told("nearline_results_made_total", "counter", "Lists that were made.", lambda p: p.made),
    Told("nearline_results_failed_total", "counter", "Users whose lists could not be made.", lambda p: p.failed),
    Told("nearline_publish_partitions", "gauge", "Partitions that this publisher has.", lambda p: len(p.ledger.partitions)),
    Told("nearline_publish_lag_events", "gauge", "Events of its partitions that it is not done with.", lambda p: p.lag),
    Told("nearline_publish_lag_seconds", "gauge", "Age of the oldest event whose lists wait; 0: none.", lambda p: p.oldest),
)
"""Read from a `Publisher`."""


def reference() -> str:
    """Return the part of `docs/reference/metrics.md` that is about them."""
    return part("Publishers", "nearline publish --metrics 127.0.0.1:9465", METRICS)
