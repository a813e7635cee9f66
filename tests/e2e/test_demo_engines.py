"""`make demo ENGINE=kafka` as a user runs it: engines, worker and server come up as processes, and all of them go down."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from visit import PATIENT

from engines import kafka, valkey
from engines.process import free_ports, listens

SIZE = ("--users", "200", "--items", "400", "--days", "7")
ROOT = Path(__file__).parents[2]


def start(folder: Path, port: int, *arguments: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NEARLINE_")}
    patient = {f"NEARLINE_{name}": str(value) for name, value in PATIENT.items()}
    return subprocess.Popen(
        [sys.executable, "-m", "engines.demo", *SIZE, "--path", str(folder), "--port", str(port), *arguments],
        cwd=ROOT,
        env={**environment, **patient, "COLUMNS": "160", "NEARLINE_TRAIN_EXAMPLES": "1000"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def ports(text: str) -> list[int]:
    """Return where Kafka and Redis were."""
    return [int(port) for port in re.findall(r"(?:kafka|redis)://127\.0\.0\.1:(\d+)", text)]


@pytest.mark.timeout(900)
def test_everything_comes_up_shows_the_way_of_a_click_and_goes_down(tmp_path: Path) -> None:
    if missing := kafka.available() or valkey.available():
        pytest.skip(f"an engine is missing: {missing}")
    (port,) = free_ports(1)
    process = start(tmp_path, port, "--once")
    text, _ = process.communicate(timeout=600)
    assert process.returncode == 0, text
    assert "events of 400 items are in kafka://" in text
    moved = re.findall(r"^ ?\d+ .{30} +(new|=|↑\d+|↓\d+) ", text, re.M)
    assert len(moved) == 10, text
    assert set(moved) != {"="}, text
    assert re.search(r"in the log, for all who read it +kafka://\S+, partition [0-3], offset [\d,]+ +[\d.]+ ms", text), text
    stored = re.search(r"in the visitor's row +redis://\S+, by the stream worker +([\d.]+) ms", text)
    assert stored, text
    assert float(stored[1]) > 0
    assert "Traceback" not in text
    assert ports(text)
    assert not any(listens(one) for one in [port, *ports(text)])

    # Again from what is there; then Ctrl-C while it serves.
    process = start(tmp_path, port)
    lines: list[str] = []
    until = time.monotonic() + 240
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C" in line or time.monotonic() > until:
            break
    shown = "".join(lines)
    assert "resuming" in shown, shown
    assert "Ctrl-C stops it all" in shown, shown
    assert all(listens(one) for one in [port, *ports(shown)])
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=120)
    assert process.returncode == 0, rest
    assert "everything is down" in rest
    assert "Traceback" not in shown + rest
    assert not any(listens(one) for one in [port, *ports(shown)])


def test_a_taken_port_and_what_is_missing_are_said_at_once(tmp_path: Path) -> None:
    if missing := kafka.available() or valkey.available():
        pytest.skip(f"an engine is missing: {missing}")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start(tmp_path, taken.getsockname()[1], "--once")
        text, _ = process.communicate(timeout=120)
    assert process.returncode == 2, text
    assert "choose another: make demo ENGINE=kafka PORT=9000" in text
    assert not (tmp_path / "kafka-shop" / "valkey").exists()
