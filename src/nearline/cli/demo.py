"""`demo`: a shop, or your data, imported, trained and served, and a click that changes a list."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from nearline.cli.options import arguments_of, tenant_of
from nearline.cli.prepare import PORT, prepared
from nearline.cli.walk import tell, walk
from nearline.embedded.demo import SHOP, Demo, save_demo
from nearline.embedded.engine import Engine
from nearline.embedded.server import serve
from nearline.schema.errors import NearlineError
from nearline.serving import logs

console = Console(stderr=True, highlight=False)


def register(cli: typer.Typer) -> None:
    """Add the command."""
    text = "See a click change a list, in a shop that is made up or in your data. Example: nearline demo --data ml-100k"
    cli.command(help=text)(demo)


def demo(
    data: Annotated[
        Path | None,
        typer.Option(help="MovieLens 100K or 1M, or a CSV or Parquet of your own, instead of the simulated shop."),
    ] = None,
    path: Annotated[Path, typer.Option(help="Where everything is kept; the next start resumes from there.")] = Path(
        "demo-data"
    ),
    port: Annotated[int | None, typer.Option(help="Port to serve on; 8080 by default.")] = None,
    users: Annotated[int, typer.Option(help="Users of the simulated shop.")] = 1_000,
    items: Annotated[int, typer.Option(help="Items of the simulated shop.")] = 2_000,
    days: Annotated[int, typer.Option(help="Days of the simulated shop's past.")] = 30,
    seed: Annotated[int, typer.Option(help="Another seed, another shop.")] = 0,
    once: Annotated[bool, typer.Option("--once", help="End after the walk-through instead of going on serving.")] = False,
) -> None:
    """Prepare what is not there yet, serve it, and do with it what a person would."""
    begun = time.monotonic()
    source = SHOP if data is None else str(data.resolve())
    wanted = Demo(source, (users, items, days, seed) if data is None else (0, 0, 0, 0))
    folder = path / ("shop" if data is None else data.resolve().stem)
    if port is not None:
        os.environ[PORT] = str(port)
    logs.configure_logs(os.environ.get("NEARLINE_LOG_LEVEL", "") or "warning")
    _serve(folder, prepared(folder, wanted, data), once, begun)


def _serve(folder: Path, state: Demo, once: bool, begun: float) -> None:
    failed = False

    def started(engine: Engine, port: int) -> Coroutine[Any, Any, None]:
        server = engine.settings.server
        host = f"[{server.host}]" if ":" in server.host else server.host
        return show(f"http://{host}:{port}", server.api_key)

    async def show(url: str, api_key: str) -> None:
        nonlocal failed
        try:
            at = state.runs % len(state.users)
            state.runs += 1
            found = await asyncio.to_thread(walk, url, [*state.users[at:], *state.users[:at]], api_key)
            save_demo(folder, state)
            tell(found, url, console)
            seconds = time.monotonic() - begun
            if not once:
                told = f"serving {url}, {seconds:.0f} s after the start"
                console.print(f"\n[bold]{told}.[/] Ctrl-C stops it; the next start goes on from here.")
        except NearlineError as error:
            failed = True
            console.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
        finally:
            if once:
                os.kill(os.getpid(), signal.SIGINT)

    with contextlib.suppress(KeyboardInterrupt):  # uvicorn has drained and closed by then
        serve(tenant_of(folder), arguments_of(folder, None), started)
    console.print(f"stopped; everything is saved in [bold]{folder}[/]")
    if failed:
        raise typer.Exit(1)
