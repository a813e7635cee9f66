"""A server process of ours: started, waited for, stopped, killed, frozen."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PATIENCE = 180.0
"""Seconds that a server may take to answer after its start."""


def home() -> Path:
    """Return where engines are installed, once for all checkouts."""
    folder = Path(os.environ.get("ENGINES_HOME", Path.home() / ".cache" / "nearline-engines"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def free_ports(n: int) -> list[int]:
    """Return `n` ports of loopback that nobody listens on."""
    held = [socket.socket() for _ in range(n)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


class ServerProcess:
    """One process of a server, with its output in a file.

    Args:
        command: what is run.
        folder: its working folder; `<name>.log` is written there.
        name: in errors.
        answers: whether it is up; asked until it is.
        environment: added to this process's.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        name: str,
        answers: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.command, self.folder, self.name, self._answers = list(command), folder, name, answers
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    environment: Mapping[str, str] = {}
    """Variables that lead a client here; none where its URL says all."""

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and return once it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{self.name}.log").open("ab") as out:
            # In a session of its own: Ctrl-C reaches whoever started it, and he ends it in his order.
            self._process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                env=self._environment,
                start_new_session=True,
            )
        until = time.monotonic() + PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self.kill()
                text = (self.folder / f"{self.name}.log").read_text(errors="replace")[-3000:]
                raise RuntimeError(f"{self.name} did not start:\n{text}")
            time.sleep(0.05)

    @property
    def runs(self) -> bool:
        """Whether it was started and not ended since."""
        return self._process is not None

    def stop(self) -> None:
        """End it as its keeper would, and wait."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once (kill -9), and wait."""
        self._end(signal.SIGKILL)

    def remove(self) -> None:
        """End it; nobody needs its data any more."""
        self.kill()

    def freeze(self) -> None:
        """Let it hang (SIGSTOP)."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(how)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin is not None:
            process.stdin.close()


def listens(port: int) -> bool:
    """Return whether somebody listens on a port of loopback."""
    with socket.socket() as one:
        one.settimeout(0.2)
        return one.connect_ex(("127.0.0.1", port)) == 0
