"""Milvus: its small server, milvus-lite, in a process of its own."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from engines.process import ServerProcess, free_ports, listens


def available() -> str:
    """Return "" where it can run, else what is missing."""
    return "" if importlib.util.find_spec("milvus_lite") else 'needs milvus-lite: pip install "nearline[milvus]"'


class Milvus(ServerProcess):
    """A server on loopback that keeps its data and its port over restarts."""

    def __init__(self, folder: Path) -> None:
        (self.port,) = free_ports(1)
        command = [sys.executable, "-m", "milvus_lite", "server", "--data-dir", str(folder / "data")]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        super().__init__(command, folder, "milvus", lambda: listens(self.port))

    def place(self) -> str:
        """Return its URL: tests take tenants of their own there."""
        return f"milvus://127.0.0.1:{self.port}"

    def empty(self, place: str) -> None:
        """Lose everything."""
        from pymilvus import MilvusClient

        client = MilvusClient(place.replace("milvus:", "http:"), dedicated=True)
        for name in client.list_collections():
            for alias in client.list_aliases(name)["aliases"]:
                client.drop_alias(alias)
            client.drop_collection(name)
        client.close()
