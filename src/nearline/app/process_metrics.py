"""`/metrics` of a process that is no server: a table of metrics says both what is answered and the page of reference."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct
from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from nearline.schema.errors import NearlineError


class Told(Struct, frozen=True):
    """One metric.

    Attributes:
        read: returns its value, by label where it has one; None where there is none now.
    """

    name: str
    type: Literal["counter", "gauge"]
    help: str
    read: Callable[[Any], float | Mapping[str, float] | None]
    label: str = ""


class _Collector(Collector):
    """Reads a subject's numbers when it is asked."""

    def __init__(self, metrics: Sequence[Told], subject: object) -> None:
        self._metrics, self._subject = metrics, subject

    def describe(self) -> Iterable[Metric]:
        """Return nothing: names are those of the table."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Return all metrics as Prometheus has them."""
        for one in self._metrics:
            made = CounterMetricFamily if one.type == "counter" else GaugeMetricFamily
            family = made(one.name, one.help, labels=[one.label] if one.label else [])
            found = one.read(self._subject)
            for label, value in found.items() if isinstance(found, Mapping) else [("", found)]:
                if value is not None:
                    family.add_metric([label] if one.label else [], float(value))
            yield family


def serve_metrics(metrics: Sequence[Told], subject: object, address: str) -> str:
    """Answer GET /metrics from a thread of its own; return the URL.

    Args:
        metrics: the table.
        subject: what they are read from.
        address: such as "127.0.0.1:9464"; port 0 takes a free one.

    Raises:
        NearlineError: the address is none, or taken.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise NearlineError("--metrics", address, "write host and port, such as 127.0.0.1:9464")
    registry = CollectorRegistry()
    registry.register(_Collector(metrics, subject))
    ProcessCollector(registry=registry)
    try:
        server, _ = start_http_server(int(port), host.strip("[]"), registry)
    except OSError as error:
        raise NearlineError("--metrics", address, f"another address is needed: {error.strerror}") from error
    return f"http://{host}:{server.server_port}/metrics"


def part(title: str, command: str, metrics: Sequence[Told]) -> str:
    """Return the part of `docs/reference/metrics.md` that is about one kind of process."""
    lines = [
        "",
        f"## {title}",
        "",
        f"`{command}` answers `GET /metrics` beside its work, with the process's own too.",
        "",
        "| metric | type | label | what it says |",
        "| --- | --- | --- | --- |",
        *(f"| `{m.name}` | {m.type} | {f'`{m.label}`' if m.label else ''} | {m.help} |" for m in metrics),
    ]
    return "\n".join(lines) + "\n"
