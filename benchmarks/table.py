"""What a benchmark came to, as rows of one table, and the machine it ran on."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec


class Row(msgspec.Struct, frozen=True):
    """One line of the table; `wanted` and `hoped` are issue 3's figures."""

    what: str
    measured: str
    wanted: str = ""
    hoped: str = ""
    command: str = ""


@dataclass(frozen=True, slots=True)
class Spread:
    """Median of repeats, with the lowest and the highest."""

    median: float
    low: float
    high: float

    def text(self, form: str = ",.0f") -> str:
        """Return "median (low to high)"."""
        return f"{self.median:{form}} ({self.low:{form}} to {self.high:{form}})"


def spread(values: Sequence[float]) -> Spread:
    """Return the median of repeats with its bounds."""
    return Spread(statistics.median(values), min(values), max(values))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of the values do not exceed; NaN where there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def machine() -> str:
    """Return cores, processor, Python and date in one line."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = found[0].split(":", 1)[1].strip() if found else model
    load = os.getloadavg()[0]
    date = datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%d %H:%M UTC")
    cores = os.cpu_count()
    python = platform.python_version()
    return f"{cores} cores, {model}, Linux {platform.release()}, Python {python}, {date}, load {load:.1f}"


def markdown(rows: Sequence[Row]) -> str:
    """Return the table."""
    lines = ["| what | measured | at least | hope | command |", "| --- | --- | --- | --- | --- |"]
    lines += [f"| {r.what} | **{r.measured}** | {r.wanted} | {r.hoped} | `{r.command}` |" for r in rows]
    return "\n".join(lines)


def say(text: str) -> None:
    """Print progress to stderr, so that stdout holds the table alone."""
    print(text, file=sys.stderr, flush=True)


def show(rows: Sequence[Row]) -> None:
    """Print a program's own table with the machine's line."""
    print(f"{machine()}\n\n{markdown(rows)}", flush=True)
