"""`init`, `serve`, `warm`, `status`."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

import nearline
from nearline.app.starter import write_starter
from nearline.cli.options import HERE, AppFile, Config, arguments_of, tenant_of
from nearline.embedded.engine import Engine
from nearline.embedded.server import serve as run_server
from nearline.serving import logs
from nearline.stores.archive import places

console = Console(stderr=True)


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command(help="Write a commented app.py and nearline.toml. Example: nearline init my-shop")(init)
    cli.command(help="Serve the application over HTTP. Example: nearline serve --app my-shop")(serve)
    cli.command(help="Compile all kernels now, so that the first start is quick. Example: nearline warm")(warm)
    cli.command(help="Show log, lake, state and release. Example: nearline status --app my-shop")(status)


def init(folder: Annotated[Path, typer.Argument(help="Where to write.")] = Path()) -> None:
    """Write a starter."""
    for path in write_starter(folder):
        console.print(f"wrote {path}")
    console.print(f"next: [bold]nearline serve --app {folder}[/]")


def serve(app: AppFile = HERE, config: Config = None) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    tenant = tenant_of(app, config)
    logs.configure_logs()
    if tenant.settings.storage.durability == "relaxed":
        console.print("durability is relaxed: a power cut may lose the last second of acknowledged events")
    run_server(tenant, arguments_of(app, config), _started, jobs=not tenant.settings.evaluation.mode)


def _started(engine: Engine, port: int) -> None:
    host = engine.settings.server.host
    version = engine.recommender.pipeline.release or "none yet (streamed sources serve)"
    console.print(f"serving http://{host}:{port}  docs at /docs  release {version}  {engine.replayed:,} events replayed")


def warm() -> None:
    """Import every module with kernels; each compiles into the cache beside its file."""
    for package in ("features", "sources", "rankers", "rerank", "pipeline", "stores"):
        root = importlib.import_module(f"nearline.{package}")
        for module in pkgutil.iter_modules(root.__path__):
            importlib.import_module(f"nearline.{package}.{module.name}")
    print(f"nearline {nearline.__version__}: kernels are compiled", file=sys.stderr)


def status(app: AppFile = HERE, config: Config = None) -> None:
    """Print what is stored, and the bytes of each row."""
    tenant = tenant_of(app, config)
    out = Console()
    table = Table("topic", "log from", "log to", "in the lake up to", title=f"{tenant.folder}")
    log = tenant.log(read_only=True)
    try:
        for topic, number in places(log):
            part, lake = log.partition(number), tenant.lake.partition(number)
            name = f"{topic} {number}" if log.partitions > 1 else topic
            table.add_row(name, *(f"{n:,}" for n in (part.start(topic), part.end(topic), lake.end(topic))))
    finally:
        log.close()
    out.print(table)
    sizes = tenant.world().state.row_bytes()
    rows = Table("fold", "of", "kept in", "bytes a row", title="state rows")
    for name, (entity, tier, size) in sizes.items():
        rows.add_row(name, entity, tier, str(size))
    hot = sum(size for entity, tier, size in sizes.values() if (entity, tier) == ("user", "hot"))
    rows.add_section()
    rows.add_row("hot row", "user", "hot", str(hot))
    out.print(rows)
    out.print(f"release in service: {tenant.releases.current() or 'none'}")
