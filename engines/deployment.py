"""A shop on engines: servers and stream workers in processes of their own, on Kafka and Valkey, that faults can be done to."""

from __future__ import annotations

import http.client
import json
import os
import sys
import uuid
from pathlib import Path
from typing import Any

from engines.kafka import Kafka
from engines.process import ServerProcess, free_ports
from engines.proxy import Proxy
from engines.valkey import Valkey, ValkeyCluster
from nearline.app.load import load_app
from nearline.app.settings import load_settings
from nearline.app.tenant import Tenant

APP = """
from nearline import App
app = App(name="faults", events=["seen", "view", "click", "purchase", "dislike"])
"""
PARTITIONS = 4


def ask(port: int, method: str, path: str, body: object = None, timeout: float = 15.0) -> tuple[int, Any]:
    """Ask a server of loopback on a connection of its own; return status and JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"Content-Type": "application/json"} if text else {})
        response = connection.getresponse()
        content = response.read()
        return response.status, json.loads(content) if content.startswith((b"{", b"[")) else content.decode()
    finally:
        connection.close()


def ready(port: int) -> bool:
    """Return whether a server of loopback is ready."""
    try:
        return ask(port, "GET", "/readyz", timeout=2.0)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


class Deployment:
    """Two servers and two stream workers of one application, a broker, and a store.

    Where that is one server it is beyond a network that can be cut; a cluster's nodes say themselves where they are.

    Args:
        folder: gets the application, and a folder of its own for each server.
        broker, store: running.
        settings: by environment name, without `NEARLINE_`.
    """

    def __init__(
        self, folder: Path, broker: Kafka, store: Valkey | ValkeyCluster, settings: dict[str, object] | None = None
    ) -> None:
        self.broker, self.store, self.prefix = broker, store, uuid.uuid4().hex[:8]
        folder.mkdir(parents=True, exist_ok=True)
        self._proxy = Proxy(store.port, folder / "network") if isinstance(store, Valkey) else None
        self.app = folder / "app.py"
        self.app.write_text(APP)
        self.settings: dict[str, object] = {
            "STORAGE_LOG": f"{broker.url}/{self.prefix}",
            "STORAGE_PARTITIONS": PARTITIONS,
            "STORAGE_STATE": f"redis://127.0.0.1:{self._proxy.port}/0" if self._proxy else store.url,
            **(settings or {}),
        }
        self.ports = free_ports(2)
        self.servers = [self._server(folder / f"server{n}", port) for n, port in enumerate(self.ports)]
        self.workers = [self._process(folder / f"worker{n}", "stream", {}) for n in range(2)]
        store.say("FLUSHALL")

    @property
    def one(self) -> Valkey:
        """The store, where it is one server."""
        assert isinstance(self.store, Valkey)
        return self.store

    @property
    def cluster(self) -> ValkeyCluster:
        """The store, where it is a cluster."""
        assert isinstance(self.store, ValkeyCluster)
        return self.store

    @property
    def network(self) -> Proxy:
        """What is between servers and workers and the store, where it is one server."""
        assert self._proxy is not None
        return self._proxy

    def _environment(self, folder: Path, more: dict[str, object]) -> dict[str, str]:
        given = {"STORAGE_PATH": folder / "data", **self.settings, **more}
        return {f"NEARLINE_{name}": str(value) for name, value in given.items()}

    def _process(self, folder: Path, command: str, more: dict[str, object], port: int = 0) -> ServerProcess:
        run = [sys.executable, "-m", "nearline.cli", command, "--app", str(self.app)]
        said = folder / f"{command}.log"

        def streams() -> bool:
            return said.exists() and "streaming" in said.read_text(errors="replace")

        answers = (lambda: ready(port)) if port else streams
        return ServerProcess(run, folder, command, answers, {"COLUMNS": "200", **self._environment(folder, more)})

    def _server(self, folder: Path, port: int) -> ServerProcess:
        return self._process(folder, "serve", {"SERVER_PORT": port}, port)

    def start(self, items: int = 60) -> None:
        """Start everything, and register items."""
        for process in self._processes():
            process.start()
        goods = [{"item_id": f"i{k}", "title": f"Item {k}", "category": f"c{k % 5}", "price": 1 + k} for k in range(items)]
        status, said = ask(self.ports[0], "POST", "/v1/items", goods)
        assert status == 200, said

    def stop(self) -> None:
        """End everything."""
        for process in reversed(self._processes()):
            process.kill()

    def _processes(self) -> list[ServerProcess]:
        return [*([self._proxy] if self._proxy else []), *self.servers, *self.workers]

    def said(self) -> str:
        """Return the end of what each process wrote."""
        files = [(p.folder / f"{p.name}.log") for p in (*self.servers, *self.workers)]
        return "\n".join(
            f"== {file.parent.name}\n{file.read_text(errors='replace')[-1500:]}" for file in files if file.exists()
        )

    def tenant(self) -> Tenant:
        """Return the tenant, to look at what was stored."""
        environment = self._environment(self.app.parent / "looking", {})
        return Tenant(load_app(self.app), load_settings(None, {**os.environ, **environment}))

    def gauge(self, server: int, name: str) -> float:
        """Return a metric of a server that has no label."""
        _, text = ask(self.ports[server], "GET", "/metrics")
        return next(float(line.split()[-1]) for line in str(text).splitlines() if line.startswith(f"{name} "))
