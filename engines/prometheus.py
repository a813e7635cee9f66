"""Prometheus: one server on loopback, and promtool, which checks and tries rules; from the system's package."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from engines.packages import installed
from engines.process import ServerProcess, free_ports


def available() -> str:
    """Return "" where Prometheus can run, else what is missing; it is installed where that is allowed."""
    return "" if installed("promtool", "prometheus") else "needs a server: apt install prometheus"


def promtool(*arguments: str) -> None:
    """Run promtool.

    Raises:
        AssertionError: it finds something wrong; it says what.
    """
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


class Prometheus(ServerProcess):
    """A server that scrapes what a file says."""

    def __init__(self, config: Path, folder: Path) -> None:
        (self.port,) = free_ports(1)
        command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
        super().__init__([*command, f"--web.listen-address=127.0.0.1:{self.port}"], folder, "prometheus", self._ready)

    def ask(self, path: str, **query: str) -> Any:
        """Return the data that an endpoint of its API answers with."""
        with urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}?{urlencode(query)}", timeout=30) as answer:
            return json.load(answer)["data"]

    def values(self, expression: str) -> list[float]:
        """Return an expression's values now."""
        return [float(found["value"][1]) for found in self.ask("query", query=expression)["result"]]

    def _ready(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False
