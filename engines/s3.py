"""S3: the server of moto, which speaks its protocol and its conditional puts."""

from __future__ import annotations

import sys
import urllib.request
import uuid
from importlib.util import find_spec
from pathlib import Path

from engines.process import ServerProcess, free_ports, listens

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
NEEDED = ("moto", "flask", "flask_cors")


def available() -> str:
    """Return "" where the server can run, else what is missing."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    return f"needs the packages {', '.join(missing)}" if missing else ""


class S3(ServerProcess):
    """A server with one bucket, in memory; it keeps its port over restarts."""

    def __init__(self, folder: Path) -> None:
        (self.port,) = free_ports(1)
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        super().__init__(command, folder, "s3", lambda: listens(self.port))
        self.environment = {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}"}

    def start(self) -> None:
        """Start it, with an empty bucket."""
        super().start()
        ask = urllib.request.Request(f"http://127.0.0.1:{self.port}/nearline", method="PUT")
        with urllib.request.urlopen(ask, timeout=30):
            pass

    def place(self) -> str:
        """Return a URL for `[storage] lake`, of a place in the bucket where nothing is yet."""
        return f"s3://nearline/{uuid.uuid4().hex[:8]}"

    def empty(self, place: str) -> None:
        """Lose everything: it is in memory."""
        self.kill()
        self.start()
