"""`stream`: workers that move visitors' rows in a store, as a group of processes or as a job on Flink."""

from __future__ import annotations

import signal
import threading
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from nearline.app.process_metrics import serve_metrics
from nearline.app.tenant import MEMORY, Tenant
from nearline.cli import flink
from nearline.cli.options import HERE, AppFile, Config, tenant_of
from nearline.embedded.memory import keep_freed, settle
from nearline.schema.errors import NearlineError
from nearline.serving import logs
from nearline.stores.adapters import shown
from nearline.stores.log import Grouped
from nearline.stream.metrics import METRICS
from nearline.stream.worker import StreamWorker

console = Console(stderr=True)
TIMEOUT = 5.0
"""Seconds that the store may take for a batch."""
TOLD = 10.0
"""Seconds between two lines of what was done."""


class Engine(StrEnum):
    """Who shares partitions out."""

    group = "group"
    flink = "flink"


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command(help="Fold a shared log into the rows of a store, sharing its partitions out. Example: nearline stream")(stream)


def stream(
    app: AppFile = HERE,
    config: Config = None,
    engine: Annotated[Engine, typer.Option(help="group: one process of a consumer group. flink: a job on Apache Flink.")] = (
        Engine.group
    ),
    parallelism: Annotated[int, typer.Option(help="Flink: its workers.", min=1)] = 1,
    metrics: Annotated[str, typer.Option(help="group: where GET /metrics is answered, such as 127.0.0.1:9464.")] = "",
    environment: Annotated[
        Path | None,
        typer.Option("--flink", envvar="FLINK_ENVIRONMENT", help="Flink: the virtual environment where it is installed."),
    ] = None,
) -> None:
    """Work until Ctrl-C or SIGTERM; start as many as there is work for, up to one a partition."""
    tenant = tenant_of(app, config)
    logs.configure_logs()
    if tenant.settings.storage.state == MEMORY:
        remedy = "rows in memory are moved by the server itself; name a store of their own, such as redis://127.0.0.1:6379/0"
        raise NearlineError("storage.state", MEMORY, remedy)
    if engine is Engine.flink:
        flink.run(tenant, app, config, parallelism, environment, _announce)
    else:
        _work(tenant, metrics)


def _work(tenant: Tenant, metrics: str) -> None:
    log = tenant.log()
    if not isinstance(log, Grouped):
        remedy = "name a log that servers share: kafka: or postgresql:"
        raise NearlineError("storage.log", shown(tenant.settings.storage.log), remedy)
    store = tenant.user_rows(TIMEOUT)
    worker = StreamWorker(tenant, log, store)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    threading.Thread(target=_tell, args=(worker,), daemon=True).start()
    if metrics:
        console.print(f"metrics on {serve_metrics(METRICS, worker.folder, metrics)}")
    _announce(tenant)
    keep_freed()
    settle()
    try:
        worker.run()
    finally:
        store.close()
        log.close()


def _announce(tenant: Tenant) -> None:
    console.print(f"streaming {shown(tenant.settings.storage.log)} into {shown(tenant.settings.storage.state)}")


def _tell(worker: StreamWorker) -> None:
    before = 0
    while True:
        time.sleep(TOLD)
        now = worker.folder.folded
        if now != before:
            console.print(f"partitions {sorted(worker.partitions)}: {now:,} events folded, {(now - before) / TOLD:,.0f}/s")
        before = now
