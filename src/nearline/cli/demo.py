"""`demo`: a shop, or your data, imported, trained and served, and a click that changes a list."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from nearline.app.tenant import Tenant
from nearline.batch.dataset import Dataset, named
from nearline.batch.importers import load_dataset
from nearline.batch.training import train
from nearline.cli.data import import_with_bar
from nearline.cli.options import arguments_of, tenant_of
from nearline.cli.walk import tell, walk
from nearline.embedded.demo import (
    SETTINGS,
    SHOP,
    SHOP_APP,
    Demo,
    app_for,
    load_demo,
    save_demo,
    shop_dataset,
    users_to_show,
)
from nearline.embedded.engine import Engine
from nearline.embedded.server import listen, serve
from nearline.schema.errors import NearlineError
from nearline.serving import logs
from nearline.sim.world import ShopWorld

console = Console(stderr=True, highlight=False)
PORT = "NEARLINE_SERVER_PORT"
PLACE = "NEARLINE_STORAGE_PATH"


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
    os.environ[PLACE] = str((folder / "state").resolve())
    logs.configure_logs(os.environ.get("NEARLINE_LOG_LEVEL", "") or "warning")
    state = load_demo(folder)
    if state is None:
        state = _prepare(folder, wanted, data)
    else:
        _same(folder, state, wanted)
        listen(_tenant(folder)).close()
        console.print(f"resuming from [bold]{folder}[/]: nothing to import")
    _train(folder)
    _serve(folder, state, once, begun)


def _same(folder: Path, state: Demo, wanted: Demo) -> None:
    if (state.data, state.size) != (wanted.data, wanted.size):
        remedy = f"{folder} holds another demo ({state.data} {state.size}); choose another --path, or delete the folder"
        raise NearlineError("--data" if wanted.data != SHOP else "--users, --items, --days, --seed", wanted.size, remedy)


def _tenant(folder: Path) -> Tenant:
    """Return the demo's tenant as it is now: an import changes its clock, a release its parts."""
    return tenant_of(folder)


def _prepare(folder: Path, wanted: Demo, data: Path | None) -> Demo:
    """Write the application and import; the folder counts as prepared when all of it is done."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder / "state", ignore_errors=True)  # what an import left that was broken off
    settings = folder / "nearline.toml"
    if not settings.exists():
        settings.write_text(SETTINGS.format(port=os.environ.get(PORT, "8080")), encoding="utf-8")
    app = folder / "app.py"
    if data is None:
        _write(app, SHOP_APP.format(folder=folder))
        listen(_tenant(folder)).close()  # a taken port is better known now than in a minute
        users, items, days, seed = wanted.size
        world = ShopWorld(seed, users, items)
        with _bar("simulate days", days) as advance:
            dataset = shop_dataset(world, days, advance)
    else:
        dataset = named(load_dataset(data))
        _write(app, app_for(dataset, folder))
        listen(_tenant(folder)).close()
    _import(folder, dataset)
    wanted.users = users_to_show(dataset.events)
    save_demo(folder, wanted)
    return wanted


def _write(app: Path, text: str) -> None:
    if not app.exists():
        app.write_text(text, encoding="utf-8")
        console.print(f"wrote {app}, the application: event types, and what each means")


def _import(folder: Path, dataset: Dataset) -> None:
    import_with_bar(_tenant(folder), dataset)
    report = dataset.report
    dropped = f"; left out: {dict(report.dropped)}" if report.dropped else ""
    console.print(f"{report.kept:,} events of {len(dataset.items):,} items are in {folder / 'state'}{dropped}")


def _train(folder: Path) -> None:
    tenant = _tenant(folder)
    version = tenant.releases.current()
    if version and tenant.releases.manifest(version).feature_set == tenant.feature_set:
        console.print(f"release {version} is there: nothing to train")
        return
    begun = time.monotonic()
    with console.status("training the first release"):
        outcome = train(tenant, lambda text: console.print(f"  {text.strip()}", style="dim"))
    seconds = time.monotonic() - begun
    if outcome.published:
        console.print(f"trained release {outcome.manifest.version} in {seconds:.0f} s")
    else:
        console.print("no release was published; the sources that need none serve")


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
        serve(_tenant(folder), arguments_of(folder, None), started)
    console.print(f"stopped; everything is saved in [bold]{folder}[/]")
    if failed:
        raise typer.Exit(1)


@contextlib.contextmanager
def _bar(text: str, total: int) -> Iterator[Any]:
    """Yield a function that moves a progress bar to a number."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(text, total=total)
        yield lambda done: progress.update(task, completed=done)
