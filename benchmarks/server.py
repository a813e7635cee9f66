"""Nearline in a process of its own, pinned, for as long as a benchmark asks it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.loader import HOST, Connection, get

SERVER, LOADER = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))
"""The cores; on a machine with one they are the same."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    port: int
    pid: int
    log: Path

    def memory(self) -> dict[str, float]:
        """Return its memory in MB by name: VmRSS now, VmHWM at most so far."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        wanted = [line.split() for line in lines if line.startswith(("VmRSS", "VmHWM"))]
        return {words[0][:-1]: int(words[1]) / 1e3 for words in wanted}

    def cpu(self) -> float:
        """Return seconds of processor time that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """Return a port that nobody has at the moment."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def serving(folder: Path, cores: set[int] | None = None, patience: float = 120.0, **settings: str) -> Iterator[Server]:
    """Serve the application in a folder until the body ends.

    Args:
        cores: where it may run; `{SERVER}` by default.
        patience: seconds within which it must be ready.
        settings: environment such as NEARLINE_IMPRESSIONS_LOG.

    Raises:
        SystemExit: it ended, or was not ready in time; the message names its log.
    """
    port, log, on = free_port(), folder / "server.log", {SERVER} if cores is None else cores
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NEARLINE_")}
    command = [sys.executable, "-m", "nearline.cli", "serve", "--app", str(folder)]
    with log.open("w") as output:
        process = subprocess.Popen(
            command, env={**environment, **settings, "NEARLINE_SERVER_PORT": str(port)}, stdout=output,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        # Long before it has threads: they inherit it.
        os.sched_setaffinity(process.pid, on)
        try:
            _await(process, port, patience, log)
            yield Server(port, process.pid, log)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


def _await(process: subprocess.Popen[bytes], port: int, patience: float, log: Path) -> None:
    until = time.monotonic() + patience
    while time.monotonic() < until:
        if process.poll() is not None:
            raise SystemExit(f"the server ended with {process.returncode}:\n{log.read_text()[-2000:]}")
        with contextlib.suppress(OSError):
            connection = Connection(port)
            status, _ = connection.ask(get("/readyz"))
            connection.sock.close()
            if status == 200:
                return
        time.sleep(0.05)
    raise SystemExit(f"the server was not ready within {patience:.0f} s; see {log}")
