"""One server with its own log, whose disk can be full."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
from pathlib import Path

from engines.deployment import APP, ask, ready
from engines.process import ServerProcess, free_ports
from nearline.app.load import load_app
from nearline.app.settings import load_settings
from nearline.app.tenant import Tenant
from nearline.schema.ids import key
from nearline.serving.user_view import user_view
from nearline.stores.history import iter_records
from nearline.stream.local import LocalStream

PATIENCE = 180.0
SAME = ("recent_views", "preferences", "last_updated", "offset")
"""What a server says of a user that must be as one reader of the log says it."""


class Alone:
    """The embedded engine; started and ended as a context."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        (self.port,) = free_ports(1)
        self._app = folder / "app.py"
        self._app.write_text(APP)
        self._settings = {"NEARLINE_STORAGE_PATH": str(folder / "data"), "NEARLINE_SERVER_PORT": str(self.port)}
        command = [sys.executable, "-m", "nearline.cli", "serve", "--app", str(self._app)]
        self._process = ServerProcess(command, folder, "serve", lambda: ready(self.port), self._settings)

    def __enter__(self) -> Alone:
        """Start it, and register items."""
        self._process.start()
        goods = [{"item_id": f"i{k}", "title": f"Item {k}", "category": f"c{k % 5}", "price": 1 + k} for k in range(60)]
        assert ask(self.port, "POST", "/v1/items", goods)[0] == 200
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._process.kill()

    def fill(self, seconds: float) -> None:
        """Let no file of the process be written beyond its first byte, which is what a full disk is to SQLite; then again."""
        _, most = resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (1, most))
        time.sleep(seconds)
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (most, most))

    def recovery(self) -> float:
        """Return the seconds until a new event is acknowledged and a list has seen it."""
        began, end = time.monotonic(), -1
        while time.monotonic() - began < PATIENCE:
            with contextlib.suppress(OSError):
                if end < 0:
                    status, said = ask(self.port, "POST", "/v1/events", {"user_id": "p", "event_type": "view", "item_id": "i1"})
                    end = said["offset"] if status == 202 else -1
                elif ask(self.port, "GET", "/v1/recommendations?user_id=p")[1].get("offset", 0) >= end:
                    break
        return time.monotonic() - began

    def judged(self, acknowledged: set[str]) -> tuple[int, int]:
        """Return how many ids are not in the log, and of how many users the server says what one reader of the log does not.

        An id that is in the log twice counts as one that differs: this log takes each once.
        """
        tenant = Tenant(load_app(self._app), load_settings(None, {**os.environ, **self._settings}))
        log, replayed = tenant.log(read_only=True), LocalStream(tenant)
        try:
            records = [record for _, some in iter_records(log, tenant.lake, "user_events") for record in some]
            replayed.follow(log)
        finally:
            log.close()
        ids, now = [record.event_id for record in records], tenant.clock.now()
        differing = len(ids) - len(set(ids))
        for user in {record.user_id for record in records}:
            wanted, (status, said) = user_view(replayed.world, key(user), user, now), ask(self.port, "GET", f"/v1/users/{user}")
            differing += status == 200 if wanted is None else any(said.get(part) != wanted[part] for part in SAME)
        return len(acknowledged - set(ids)), differing
