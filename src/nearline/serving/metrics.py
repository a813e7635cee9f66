"""What `/metrics` says; the registry and the reference page are both made from `METRICS`."""

from __future__ import annotations

import logging
import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import numpy as np
from msgspec import Struct
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from nearline.rerank.rule_effects import Effects
from nearline.schema.rules import MOST_RULES
from nearline.schema.served import SERVED_FROM

_log = logging.getLogger(__name__)
BUCKETS = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.002,
    0.003,
    0.005,
    0.0075,
    0.01,
    0.015,
    0.02,
    0.03,
    0.05,
    0.1,
    0.25,
    1.0,
    5.0,
)
"""Upper bounds of the histograms' buckets, seconds."""


REACHES = ("personal", "segment", "popular")
"""What the most personal source of a list goes by."""


class Described(Struct, frozen=True):
    """One metric. `asked`: its value comes from `EnginePort.gauges` when `/metrics` is read."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    help: str
    label: str = ""
    asked: bool = False


METRICS: tuple[Described, ...] = (
    Described("nearline_request_seconds", "histogram", "Time to answer a request.", "endpoint"),
    Described("nearline_responses_total", "counter", "Answers by status.", "status"),
    Described("nearline_stage_seconds", "histogram", "Time of one stage of a list.", "stage"),
    Described("nearline_component_errors_total", "counter", "Components that raised.", "component"),
    Described("nearline_component_timeouts_total", "counter", "Components that were late.", "component"),
    Described("nearline_lists_total", "counter", "Lists by what they were served from.", "served_from"),
    Described(
        "nearline_lists_by_reach_total",
        "counter",
        "Lists by the most personal source in them: personal (what the visitor did or likes), segment, or popular.",
        "reach",
    ),
    Described(
        "nearline_rule_effects_total",
        "counter",
        "What declared rules did: items dropped, moved or brought in, and candidates whose score they changed.",
        "rule",
    ),
    Described("nearline_events_total", "counter", "Events by what became of them.", "outcome"),
    Described("nearline_event_effect_seconds", "histogram", "From accepting an event to its effect."),
    Described("nearline_queue_events", "gauge", "Events that wait to be stored.", asked=True),
    Described("nearline_log_lag_events", "gauge", "Stored events not folded yet.", asked=True),
    Described("nearline_log_answers", "gauge", "1: the log took, or told, what it was last asked; 0: not.", asked=True),
    Described("nearline_rows_answer", "gauge", "1: the store of visitors' rows answered last; always 1 in memory.", asked=True),
    Described("nearline_rows_failures_total", "counter", "Reads of visitors' rows that were not answered.", asked=True),
    Described(
        "nearline_results_answer", "gauge", "1: the store of published lists answered last, or none is named.", asked=True
    ),
    Described(
        "nearline_vectors_recall", "gauge", "Least recall of canary queries on an index of vectors; 1: none asked.", asked=True
    ),
    Described(
        "nearline_vectors_refused", "gauge", "Indexes that canary queries failed: all vectors are scanned instead.", asked=True
    ),
    Described("nearline_vectors_shards_missing", "gauge", "Shards of vectors that did not answer last.", asked=True),
    Described("nearline_poison_messages_total", "counter", "Messages of a shared log passed over.", asked=True),
    Described("nearline_archive_lag_events", "gauge", "Stored events not in the lake yet.", asked=True),
    Described("nearline_catalog_items", "gauge", "Registered items.", asked=True),
    Described("nearline_catalog_coverage", "gauge", "Share of items in a list since the start.", asked=True),
    Described("nearline_visitors", "gauge", "Users and sessions with state.", asked=True),
    Described("nearline_state_bytes", "gauge", "Memory of the online state.", asked=True),
    Described("nearline_release_age_seconds", "gauge", "Age of the release in service; -1: none.", asked=True),
    Described("nearline_train_last_timestamp_seconds", "gauge", "When training last ended; 0: never.", asked=True),
    Described("nearline_train_next_timestamp_seconds", "gauge", "When training is due; 0: off.", asked=True),
    Described("nearline_train_last_failed", "gauge", "1: the last failed or was refused.", asked=True),
    Described("nearline_train_failures_total", "counter", "Trainings that failed or were refused.", asked=True),
    Described(
        "nearline_impressions_lost_total",
        "counter",
        "Lists whose impression could not be stored.",
        asked=True,
    ),
)


class _Histogram:
    """Counts by bucket; observing takes a third of a microsecond, from any thread."""

    __slots__ = ("_lock", "counts", "total")

    def __init__(self) -> None:
        self.counts, self.total, self._lock = [0] * (len(BUCKETS) + 1), 0.0, threading.Lock()

    def observe(self, seconds: float) -> None:
        place = bisect_left(BUCKETS, seconds)
        with self._lock:
            self.counts[place] += 1
            self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        out, below = [], 0
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), self.counts, strict=True):
            below += count
            out.append((bound, float(below)))
        return out


class Metrics(Collector):
    """The counters and histograms of one server; several can live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._lock = threading.Lock()
        self._counters: dict[str, dict[str, float]] = {}
        self._histograms: dict[str, dict[str, _Histogram]] = {}
        for one in METRICS:
            if one.type == "histogram":
                self._histograms[one.name] = {} if one.label else {"": _Histogram()}
            elif not one.asked:
                self._counters[one.name] = {}
        self._counters["nearline_lists_total"].update(dict.fromkeys(SERVED_FROM, 0.0))
        self._counters["nearline_lists_by_reach_total"].update(dict.fromkeys(REACHES, 0.0))
        outcomes = ("accepted", "rejected", "duplicate", "unknown_item")
        self._counters["nearline_events_total"].update(dict.fromkeys(outcomes, 0.0))
        self._requests = self._histograms["nearline_request_seconds"]
        self._stages = self._histograms["nearline_stage_seconds"]
        self._effect = self._histograms["nearline_event_effect_seconds"][""]
        self._effects = Effects((), np.zeros(0, np.int64))
        self._asked: Mapping[str, float] = {}
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def request(self, endpoint: str, status: int, seconds: float) -> None:
        """Count an answer; `endpoint` is the path's pattern."""
        self._of(self._requests, endpoint).observe(seconds)
        self._add("nearline_responses_total", str(status), 1)

    def stage(self, name: str, seconds: float) -> None:
        """Note how long a stage of a list took."""
        self._of(self._stages, name).observe(seconds)

    def component_error(self, component: str) -> None:
        """Count a component that raised."""
        self._add("nearline_component_errors_total", component, 1)

    def component_timeout(self, component: str) -> None:
        """Count a component that was late."""
        self._add("nearline_component_timeouts_total", component, 1)

    def served(self, served_from: str, reach: str) -> None:
        """Count a list; `reach` is one of `REACHES`."""
        self._add("nearline_lists_total", served_from, 1)
        self._add("nearline_lists_by_reach_total", reach, 1)

    def rule_effects(self, effects: Effects) -> None:
        """Count what rules did to a list; beyond the first `MOST_RULES` names, under "other"."""
        with self._lock:
            if effects.names is self._effects.names:
                self._effects.hits[:] += effects.hits
            else:
                self._name_effects()
                self._effects = Effects(effects.names, effects.hits.copy())

    def _name_effects(self) -> None:
        """Turn effects by place into counters by name, as late as can be: it takes as long as there are rules."""
        held, (names, hits) = self._counters["nearline_rule_effects_total"], self._effects
        for place in np.flatnonzero(hits).tolist():
            name = names[place] if names[place] in held or len(held) < MOST_RULES else "other"
            held[name] = held.get(name, 0.0) + int(hits[place])
        hits[:] = 0

    def events(self, accepted: int = 0, rejected: int = 0, duplicate: int = 0, unknown_item: int = 0) -> None:
        """Count events; the HTTP layer counts all but duplicates, which only the engine knows."""
        for outcome, n in (
            ("accepted", accepted),
            ("rejected", rejected),
            ("duplicate", duplicate),
            ("unknown_item", unknown_item),
        ):
            if n:
                self._add("nearline_events_total", outcome, n)

    def effect(self, seconds: float) -> None:
        """Note how long an event took from its acceptance to its effect."""
        self._effect.observe(seconds)

    def render(self, asked: Mapping[str, float]) -> bytes:
        """Return the text format, with the numbers that only the engine knows."""
        unknown = asked.keys() - {one.name for one in METRICS if one.asked}
        if unknown:
            _log.warning("the engine reports metrics that METRICS does not name: %s", sorted(unknown))
        self._asked = asked
        return generate_latest(self.registry)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: names are checked by the table."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Return all metrics as Prometheus has them."""
        with self._lock:
            self._name_effects()
        for one in METRICS:
            labels = [one.label] if one.label else []
            if one.type == "histogram":
                family = HistogramMetricFamily(one.name, one.help, labels=labels)
                for value, histogram in list(self._histograms[one.name].items()):
                    family.add_metric([value] if labels else [], histogram.buckets(), histogram.total)
                yield family
                continue
            made = CounterMetricFamily if one.type == "counter" else GaugeMetricFamily
            simple = made(one.name, one.help, labels=labels)
            if one.asked:
                if one.name in self._asked:
                    simple.add_metric([], self._asked[one.name])
            else:
                for value, number in list(self._counters[one.name].items()):
                    simple.add_metric([value] if labels else [], number)
            yield simple

    def _of(self, histograms: dict[str, _Histogram], label: str) -> _Histogram:
        found = histograms.get(label)
        return found if found is not None else histograms.setdefault(label, _Histogram())

    def _add(self, name: str, label: str, n: float) -> None:
        counter = self._counters[name]
        with self._lock:
            counter[label] = counter.get(label, 0.0) + n


def reference() -> str:
    """Return `docs/reference/metrics.md`."""
    lines = [
        "# Metrics",
        "",
        "`GET /metrics` in the text format of Prometheus; with an API key set it asks for the key.",
        f"Histograms have buckets from {BUCKETS[0] * 1e6:.0f} µs to {BUCKETS[-1]:.0f} s. On Linux the",
        "process's own are there too, such as `process_resident_memory_bytes`. Outcomes of events: accepted,",
        "rejected, duplicate, and unknown_item, which are accepted too. Timestamps are Unix time in seconds.",
        "",
        "This page is generated from `METRICS` in `nearline.serving.metrics`, `nearline.stream.metrics` and",
        "`nearline.embedded.publishing.metrics`; a test compares.",
        "",
        "| metric | type | label | what it says |",
        "| --- | --- | --- | --- |",
    ]
    lines += [f"| `{m.name}` | {m.type} | {f'`{m.label}`' if m.label else ''} | {m.help} |" for m in METRICS]
    return "\n".join(lines) + "\n"
