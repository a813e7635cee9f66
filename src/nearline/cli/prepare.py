"""What a demo needs before it can serve: an application, an import, a first release; each is made where it is not there yet."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from nearline.batch.dataset import Dataset, for_asking
from nearline.batch.importers import load_dataset
from nearline.batch.training import train
from nearline.cli.data import import_with_bar
from nearline.cli.options import tenant_of
from nearline.embedded.demo import SETTINGS, SHOP, SHOP_APP, Demo, app_for, load_demo, save_demo, shop_dataset, users_to_show
from nearline.embedded.server import listen
from nearline.schema.errors import NearlineError
from nearline.sim.world import ShopWorld
from nearline.stores.adapters import scheme_of, shown

console = Console(stderr=True, highlight=False)
PORT = "NEARLINE_SERVER_PORT"
PLACE = "NEARLINE_STORAGE_PATH"


def prepared(folder: Path, wanted: Demo, data: Path | None = None) -> Demo:
    """Return what a folder holds after it was imported, now or by an earlier start; its first release is trained too.

    Args:
        folder: of the application; the data is in `state` in it.
        wanted: what it must hold.
        data: to import; the simulated shop by default.

    Raises:
        NearlineError: it holds something else, or the port is taken.
    """
    os.environ[PLACE] = str((folder / "state").resolve())
    state = load_demo(folder)
    if state is None:
        state = _prepare(folder, wanted, data)
    else:
        _same(folder, state, wanted)
        listen(tenant_of(folder)).close()
        console.print(f"resuming from [bold]{folder}[/]: nothing to import")
    _train(folder)
    return state


def _same(folder: Path, state: Demo, wanted: Demo) -> None:
    if (state.data, state.size) != (wanted.data, wanted.size):
        remedy = f"{folder} holds another demo ({state.data} {state.size}); choose another --path, or delete the folder"
        raise NearlineError("--data" if wanted.data != SHOP else "--users, --items, --days, --seed", wanted.size, remedy)


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
        listen(tenant_of(folder)).close()  # a taken port is better known now than in a minute
        users, items, days, seed = wanted.size
        world = ShopWorld(seed, users, items)
        with _bar("simulate days", days) as advance:
            dataset = shop_dataset(world, days, advance)
    else:
        dataset = for_asking(load_dataset(data))
        _write(app, app_for(dataset, folder))
        listen(tenant_of(folder)).close()
    _import(folder, dataset)
    wanted.users = users_to_show(dataset.events)
    save_demo(folder, wanted)
    return wanted


def _write(app: Path, text: str) -> None:
    if not app.exists():
        app.write_text(text, encoding="utf-8")
        console.print(f"wrote {app}, the application: event types, and what each means")


def _import(folder: Path, dataset: Dataset) -> None:
    tenant = tenant_of(folder)
    import_with_bar(tenant, dataset)
    url, report = tenant.settings.storage.log, dataset.report
    place = folder / "state" if scheme_of(url) == "sqlite" else shown(url)
    dropped = f"; left out: {dict(report.dropped)}" if report.dropped else ""
    console.print(f"{report.kept:,} events of {len(dataset.items):,} items are in {place}{dropped}")


def _train(folder: Path) -> None:
    tenant = tenant_of(folder)
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


@contextlib.contextmanager
def _bar(text: str, total: int) -> Iterator[Any]:
    """Yield a function that moves a progress bar to a number."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(text, total=total)
        yield lambda done: progress.update(task, completed=done)
