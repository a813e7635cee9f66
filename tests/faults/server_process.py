"""A real `nearline serve` in a process of its own, on loopback, asked by HTTP."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nearline.app.load import load_app
from nearline.app.settings import load_settings
from nearline.app.tenant import Tenant

APP = """
from nearline import App
app = App(name="faults", events=["seen", "view", "click", "purchase", "dislike"])
"""
START = 180.0
_SERVING = re.compile(r"serving http://127\.0\.0\.1:(\d+)")


class Server:
    """One application in a folder; it may be started, killed and started again.

    Args:
        folder: gets `app.py` and the data.
        settings: by environment name, without `NEARLINE_`.
        app: text of `app.py`.
        prelude: Python that the process runs first.
    """

    def __init__(self, folder: Path, settings: Mapping[str, object] | None = None, app: str = APP, prelude: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.app, self.prelude = folder, folder / "app.py", prelude
        self.app.write_text(app)
        given = {"STORAGE_PATH": folder / "data", "SERVER_PORT": 0, **(settings or {})}
        self.settings = {f"NEARLINE_{name}": str(value) for name, value in given.items()}
        self.port, self.process = 0, None
        self.headers: dict[str, str] = {}
        self.starts = 0

    process: subprocess.Popen[bytes] | None

    def command(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start `nearline ...`."""
        log = (self.folder / "output.txt").open("ab")
        code = f"{self.prelude}\nimport sys; sys.argv[0] = 'nearline'\nfrom nearline.cli import main; main()"
        with log:
            return subprocess.Popen(
                [sys.executable, "-c", code, *arguments, "--app", str(self.app)],
                env={**os.environ, **self.settings, "COLUMNS": "200"},
                stdout=log,
                stderr=log,
            )

    def start(self) -> None:
        """Start the server and wait until it serves."""
        seen = self._starts()
        self.process = self.command("serve")
        until = time.monotonic() + START
        while len(found := self._starts()) == len(seen):
            if self.process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"it did not start: {self.output()[-3000:]}")
            time.sleep(0.02)
        self.port, self.starts = int(found[-1]), self.starts + 1

    def output(self) -> str:
        """Return what its processes wrote so far."""
        path = self.folder / "output.txt"
        return path.read_text(errors="replace") if path.exists() else ""

    def _starts(self) -> list[str]:
        return _SERVING.findall(self.output())

    def kill(self) -> None:
        """`kill -9`."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def stop(self) -> int:
        """SIGTERM; return the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(30)
        self.process = None
        return status

    def end(self) -> None:
        """Whatever happened: it runs no more."""
        if self.process is not None:
            self.kill()

    def run(self, *arguments: str, status: int = 0) -> str:
        """Run `nearline ...` to its end, which must be with `status`; return what it said."""
        before = len(self.output())
        ended = self.command(*arguments).wait(120)
        said = self.output()[before:]
        assert ended == status, said
        return said

    def ask(self, method: str, path: str, body: object = None, timeout: float = 30.0) -> tuple[int, Any, Mapping[str, str]]:
        """Send one request on a connection of its own; return status, JSON and headers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {**self.headers, **({"Content-Type": "application/json"} if text else {})})
            response = connection.getresponse()
            content = response.read()
            return response.status, json.loads(content) if content else None, dict(response.headers)
        finally:
            connection.close()

    def text(self, path: str) -> tuple[int, str]:
        """Get something that is not JSON; return status and text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def tenant(self) -> Tenant:
        """Return its tenant, to look at what it stored."""
        return Tenant(load_app(self.app), load_settings(None, self.settings))


def items(n: int) -> list[dict[str, object]]:
    """Return `n` items in five categories."""
    return [
        {"item_id": f"i{k}", "title": f"Item {k}", "category": f"c{k % 5}", "brand": f"b{k % 7}", "price": 1 + k}
        for k in range(n)
    ]
