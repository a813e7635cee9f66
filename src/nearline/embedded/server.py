"""The server process: HTTP over the embedded engine, until SIGTERM or Ctrl-C; then it drains."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import uvicorn

from nearline.app.tenant import Tenant
from nearline.embedded.engine import Engine
from nearline.embedded.jobs import Jobs
from nearline.embedded.memory import keep_freed, settle
from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.serving.api import create_app
from nearline.serving.metrics import Metrics

logger = logging.getLogger("nearline.server")
BACKLOG = 2048
"""Connections that may wait to be accepted."""
SWITCH = 0.0005
"""Seconds after which a thread that waits for the GIL asks for it."""
DRAIN = 10
"""Seconds that requests under way get to finish."""


def listen(tenant: Tenant) -> socket.socket:
    """Return a bound socket.

    Raises:
        NearlineError: the port is taken or the address is not this machine's.
    """
    server = tenant.settings.server
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((server.host, server.port))
    except OSError as error:
        listener.close()
        remedy = f"{error.strerror}; choose another port: [server] port in nearline.toml, or NEARLINE_SERVER_PORT=9000"
        raise NearlineError("server.port", server.port, remedy) from error
    return listener


def serve(
    tenant: Tenant,
    arguments: list[str],
    started: Callable[[Engine, int], Any] = lambda engine, port: None,
    jobs: bool = True,
) -> None:
    """Serve until told to stop.

    Args:
        tenant: whose.
        arguments: command line options for the background jobs.
        started: called once it is ready, with the engine and the port; may return a coroutine to run beside.
        jobs: whether archive, snapshot and training run in the background.

    Raises:
        NearlineError: the port is taken, or another process has the log.
        StoreUnavailableError: it ended itself, because only a restart brings state and log together again.
    """
    listener = listen(tenant)
    # The loop and the request thread hand the GIL to each other many times a list; the usual 5 ms would be the latency.
    sys.setswitchinterval(SWITCH)
    keep_freed()
    metrics = Metrics()
    engine = Engine(tenant, metrics)

    @contextlib.asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        await engine.open()
        settle()
        beside: list[asyncio.Task[Any]] = []
        if jobs:
            beside.append(asyncio.create_task(Jobs(engine, arguments).run()))
        listener.listen(BACKLOG)  # who is told that it serves may ask at once
        extra = started(engine, listener.getsockname()[1])
        if extra is not None:
            beside.append(asyncio.create_task(extra))
        try:
            yield
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await engine.close()

    config = uvicorn.Config(
        create_app(engine, metrics, lifespan),
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=DRAIN,
        backlog=BACKLOG,
    )
    server = uvicorn.Server(config)

    def stop() -> None:
        server.should_exit = True

    engine.stop = stop
    with listener:
        server.run(sockets=[listener])
    if engine.failure is not None:
        raise StoreUnavailableError("the state could not follow the log; start again") from engine.failure
