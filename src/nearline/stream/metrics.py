"""What a stream worker's `/metrics` says; the registry and the reference page are both made from `METRICS`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from msgspec import Struct
from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.stores.log import Log
from nearline.stream.partitions import PartitionsFolder


class Watched(Struct, frozen=True):
    """One metric, and where its value comes from."""

    name: str
    type: Literal["counter", "gauge"]
    help: str
    read: Callable[[PartitionsFolder], float]


METRICS: tuple[Watched, ...] = (
    Watched("nearline_stream_events_total", "counter", "Events folded into rows.", lambda f: f.folded),
    Watched("nearline_stream_duplicates_total", "counter", "Events left out: they came before.", lambda f: f.dropped),
    Watched("nearline_stream_poison_total", "counter", "Messages passed over: nobody can read them.", lambda f: f.poison),
    Watched("nearline_stream_partitions", "gauge", "Partitions that this worker has.", lambda f: len(f.done)),
    Watched("nearline_stream_row_seconds", "gauge", "From taking the newest stored event to its row.", lambda f: f.behind),
    Watched("nearline_stream_rows_answer", "gauge", "1: the store took rows when last asked; 0: not.", lambda f: f.answers),
)
LAG = "nearline_stream_lag_events"
LAG_HELP = "Events of this worker's partitions that are not in rows yet; absent while the log does not answer."


class WorkerMetrics(Collector):
    """The metrics of one worker.

    Args:
        folder: the worker's.
        log: asked for its ends when the metrics are read.
    """

    def __init__(self, folder: PartitionsFolder, log: Log) -> None:
        self._folder, self._log = folder, log

    def describe(self) -> Iterable[Metric]:
        """Return nothing: names are those of the table."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Return all metrics as Prometheus has them."""
        for one in METRICS:
            made = CounterMetricFamily if one.type == "counter" else GaugeMetricFamily
            family = made(one.name, one.help)
            family.add_metric([], float(one.read(self._folder)))
            yield family
        family = GaugeMetricFamily(LAG, LAG_HELP)
        try:
            done = dict(self._folder.done)
            lag = sum(max(0, self._log.partition(number).end("user_events") - at) for number, at in done.items())
            family.add_metric([], float(lag))
        except StoreUnavailableError:
            pass  # absent
        yield family


def serve_metrics(folder: PartitionsFolder, log: Log, address: str) -> int:
    """Answer GET /metrics beside a worker, from a thread of its own; return the port.

    Args:
        folder: the worker's.
        log: asked for its ends.
        address: such as "127.0.0.1:9464"; port 0 takes a free one.

    Raises:
        NearlineError: the address is none, or taken.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise NearlineError("--metrics", address, "write host and port, such as 127.0.0.1:9464")
    registry = CollectorRegistry()
    registry.register(WorkerMetrics(folder, log))
    ProcessCollector(registry=registry)
    try:
        server, _ = start_http_server(int(port), host.strip("[]"), registry)
    except OSError as error:
        raise NearlineError("--metrics", address, f"another address is needed: {error.strerror}") from error
    return int(server.server_port)


def reference() -> str:
    """Return the part of `docs/reference/metrics.md` that is about workers."""
    lines = [
        "",
        "## Stream workers",
        "",
        "`nearline stream --metrics 127.0.0.1:9464` answers `GET /metrics` beside a worker, with the process's own too.",
        "",
        "| metric | type | what it says |",
        "| --- | --- | --- |",
        *(f"| `{m.name}` | {m.type} | {m.help} |" for m in METRICS),
        f"| `{LAG}` | gauge | {LAG_HELP} |",
    ]
    return "\n".join(lines) + "\n"
