"""MovieLens 1M from nothing: import, train, serve, first personal list by wall clock; and memory.

Each stage is the command that a user would run, in a process of its own, with its start included.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from benchmarks.loader import Connection, closed_loop, get
from benchmarks.server import serving
from benchmarks.table import Row, percentile, say, show, spread
from benchmarks.world import arguments

COMMAND = "python -m benchmarks.movielens"
HERE = Path(__file__).resolve().parent.parent
DATA = HERE.parent / "shared" / "data" / "ml-1m"
APP = '''\
"""MovieLens: ratings alone."""

from nearline import App

app = App(name="movies", events=["rate"])
'''


def stage(folder: Path, *words: str) -> float:
    """Run a command of Nearline; return its seconds of wall clock."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NEARLINE_")}
    began = time.monotonic()
    command = [sys.executable, "-m", "nearline.cli", *words, "--app", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    seconds = time.monotonic() - began
    if done.returncode:
        said = (done.stdout + done.stderr)[-3000:]
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}:\n{said}")
    for line in done.stderr.splitlines()[-6:]:
        say(f"    {line.strip()}")
    say(f"  {words[0]}: {seconds:.1f} s")
    return seconds


def once(folder: Path, data: Path) -> tuple[dict[str, float], dict[str, float]]:
    """Go from nothing to the first personal list; return seconds by stage and memory in MB."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "app.py").write_text(APP)
    (folder / "nearline.toml").write_text(f'[storage]\npath = "{folder / "data"}"\n\n[train]\nevery = ""\n')
    seconds = {"import": stage(folder, "import", str(data)), "train": stage(folder, "train")}
    began = time.monotonic()
    with serving(folder, os.sched_getaffinity(0), patience=300.0) as server:
        seconds["serve"] = time.monotonic() - began
        connection = Connection(server.port)
        status, answer = connection.ask(get("/v1/recommendations?user_id=42"))
        seconds["first list"] = time.monotonic() - began - seconds["serve"]
        body = msgspec.json.decode(answer[answer.find(b"\r\n\r\n") + 4 :])
        items = body["items"]
        say(f"  first list: {status}, {len(items)} items, {body['served_from']}, {items[0]['explanation']}")
        connection.sock.close()
        begun = server.memory()["VmRSS"]
        requests = [get(f"/v1/recommendations?user_id={user}") for user in range(1, 6041)]
        load = closed_loop(server.port, lambda n: requests[n % len(requests)], 8, 5.0)
        memory = {"start": begun, "serving": server.memory()["VmRSS"], "peak": server.memory()["VmHWM"]}
        tail = percentile(load.latencies, 0.99) * 1e3
        say(f"  {load.rate:,.0f} lists/s, p99 {tail:.1f} ms, {dict(load.words)}; memory in MB {memory}")
    return seconds, memory


def run(folder: Path, repeats: int, data: Path = DATA) -> list[Row]:
    """Measure both rows; none where the data is not there."""
    if not data.exists():
        say(f"movielens skipped: no {data}; give the folder of ml-1m with --data")
        return []
    runs = [once(folder / "work-movielens", data) for _ in range(repeats)]
    totals = spread([sum(seconds.values()) for seconds, _ in runs])
    parts = ", ".join(f"{name} {spread([s[name] for s, _ in runs]).median:.1f}" for name in runs[0][0])
    memory = {name: spread([m[name] for _, m in runs]).median for name in runs[0][1]}
    command = COMMAND if data == DATA else f"{COMMAND} --data {data}"
    return [
        Row(
            f"{data.name}: import, train, first personal list, from nothing",
            f"{totals.text('.1f')} s ({parts})", "< 120 s", "< 60 s", command,
        ),
        Row(
            f"{data.name}: resident memory, serving",
            f"{memory['serving']:,.0f} MB (at first {memory['start']:,.0f}, peak {memory['peak']:,.0f})",
            "< 600 MB", "< 400 MB", command,
        ),
    ]  # fmt: skip


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add the option that both `run` and this program have."""
    parser.add_argument("--data", type=Path, default=DATA, help="folder of MovieLens 1M (or 100K)")


def main() -> None:
    """Run it alone."""
    parser = arguments(__doc__)
    add_data(parser)
    o = parser.parse_args()
    show(run(o.folder, o.repeats, o.data))


if __name__ == "__main__":
    main()
