"""What a stream worker's `/metrics` says."""

from __future__ import annotations

from nearline.app.process_metrics import Told, part

METRICS = (
    Told("nearline_stream_events_total", "counter", "Events folded into rows.", lambda f: f.folded),
    Told("nearline_stream_duplicates_total", "counter", "Events left out: they came before.", lambda f: f.dropped),
    Told("nearline_stream_poison_total", "counter", "Messages passed over: nobody can read them.", lambda f: f.poison),
    Told("nearline_stream_partitions", "gauge", "Partitions that this worker has.", lambda f: len(f.done)),
    Told("nearline_stream_lag_events", "gauge", "Events not in rows; absent without the log.", lambda f: f.lags, "partition"),
    Told("nearline_stream_row_seconds", "gauge", "From taking the newest stored event to its row.", lambda f: f.behind),
    Told("nearline_stream_rows_answer", "gauge", "1: the store took rows when last asked; 0: not.", lambda f: f.answers),
)
"""Read from a worker's `PartitionsFolder`."""


def reference() -> str:
    """Return the part of `docs/reference/metrics.md` that is about them."""
    return part("Stream workers", "nearline stream --metrics 127.0.0.1:9464", METRICS)
