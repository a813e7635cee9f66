"""`nearline features`, visitors' rows from the lake, in one process and on Spark: events a second, memory, a kill.

Each run is the command itself, in processes of its own: time counts from its start to its end, memory is that of all its
processes. One process gets one core, Spark all. The lake holds the shop's past again and again, until it has as many
events as asked; in the last run one visitor has a third of them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.replay import lake_of
from benchmarks.server import SERVER
from benchmarks.table import Row, say, show
from benchmarks.world import DATA
from nearline.batch.backfill.plan import DONE, Done

COMMAND = "python -m benchmarks.backfill"
FEW = 1_000
"""Events of a backfill that is little but its start."""
AS_OF = str(int(time.time() * 1000))
PAGE = os.sysconf("SC_PAGE_SIZE")
CORES = len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True)
class Run:
    """What one command came to.

    Attributes:
        seconds: from its start to its end.
        peak: resident memory of all its processes at the same time, bytes.
        killed: whether it was.
    """

    seconds: float
    peak: int
    killed: bool


def features(place: Path, out: Path, engine: str, kill_at: int = 0) -> Run:
    """Run `nearline features`, alone on one core for the local engine; kill it once so many buckets are there."""
    command = [sys.executable, "-m", "nearline.cli", "features", "--app", str(place), "--out", str(out)]
    command += ["--engine", engine, "--as-of", AS_OF]
    began, peak, killed = time.monotonic(), 0, False
    errors = out.with_name("backfill.err")
    with errors.open("wb") as said:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True)
    os.sched_setaffinity(process.pid, {SERVER} if engine == "local" else os.sched_getaffinity(0))
    while process.poll() is None:
        peak = max(peak, _resident(process.pid))
        if kill_at and len(list(out.glob("bucket-*.parquet"))) >= kill_at:
            os.killpg(process.pid, signal.SIGKILL)
            killed = True
        time.sleep(0.05)
    if process.returncode and not killed:
        raise SystemExit(f"{engine} failed:\n{errors.read_text(errors='replace')[-3000:]}")
    return Run(time.monotonic() - began, peak, killed)


def _resident(session: int) -> int:
    """Return the resident memory of all processes of a session, bytes; what they share counts once for each."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                total += int(fields[21]) * PAGE
        except (OSError, ValueError):
            continue
    return total


def run(folder: Path, events: int) -> list[Row]:
    """Measure both engines on the same lake, then Spark on one with a busy visitor, then a kill."""
    lake_of(folder, events)
    lake_of(folder, FEW)
    rows: list[Row] = []
    place = folder / f"replay-{events}"
    lake = sum(file.stat().st_size for file in (place / "data").rglob("user_events/**/*.parquet"))
    out = folder / "backfill"
    rates, beyond = {}, {}
    for engine, cores in (("local", 1), ("spark", CORES)):
        took = []
        for source in (folder / f"replay-{FEW}", place):
            shutil.rmtree(out, ignore_errors=True)
            took.append(features(source, out, engine))
        start, done = took
        rates[engine] = events / done.seconds / cores
        beyond[engine] = (events - FEW) / (done.seconds - start.seconds) / cores
        rows.append(
            Row(
                f"backfill of {events:,} events, {engine}, {cores} core(s): events/s and core · without its start · memory",
                f"{rates[engine]:,.0f} · {beyond[engine]:,.0f} · {done.peak / 1e9:.2f} GB; "
                f"{done.seconds:.1f} s, of which {start.seconds:.1f} s its start",
                "",
                "",
                f"{COMMAND} --events {events}",
            )
        )
        say(f"{rows[-1].what}: {rows[-1].measured}")
    written = sum(file.stat().st_size for file in out.glob("bucket-*.parquet"))
    visitors = tenant_visitors(out)
    buckets = len(list(out.glob("bucket-*.parquet")))
    shutil.rmtree(out)
    first = features(place, out, "spark", kill_at=max(1, buckets // 2))
    rest = features(place, out, "spark")
    lake_of(folder, events, busy=True)
    shutil.rmtree(out)
    busy = features(folder / f"replay-{events}-busy", out, "spark")
    shutil.rmtree(out)
    command = f"{COMMAND} --events {events}"
    return [
        *rows,
        Row(
            "Spark : local, events/s and core: with its start · without",
            " · ".join(f"{own['spark'] / own['local']:.2f} ×" for own in (rates, beyond)),
            "0.3 ×",
            "0.5 ×",
            command,
        ),
        Row("killed (-9) at half its buckets, and again", f"{first.seconds:.1f} + {rest.seconds:.1f} s", "", "", command),
        Row(
            "Spark where one visitor has a third of the events",
            f"{busy.seconds:.1f} s · {busy.peak / 1e9:.2f} GB",
            "",
            "",
            command,
        ),
        Row("an event in the lake", f"{lake / events:.1f} B", "", "", command),
        Row(f"a visitor's rows in the output, of {visitors:,}", f"{written / max(1, visitors):,.0f} B", "", "", command),
    ]


def tenant_visitors(out: Path) -> int:
    """Return how many visitors an output holds."""
    return msgspec.json.decode((out / DONE).read_bytes(), type=Done).visitors


def main() -> None:
    """Run it alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=DATA, help="where the shop and the lake are kept")
    parser.add_argument("--events", type=int, default=1_000_000, help="in the lake")
    o = parser.parse_args()
    show(run(o.folder, o.events))


if __name__ == "__main__":
    main()
