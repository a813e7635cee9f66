"""`import`, `move`, `maintain`, `backup`, `replay`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from nearline.app.sections import Storage
from nearline.app.tenant import Tenant
from nearline.batch.dataset import Dataset
from nearline.batch.importers import FORMATS, load_dataset
from nearline.batch.importers.column_map import parse_map
from nearline.batch.importing import check_types, import_dataset
from nearline.batch.moving import move as run_move
from nearline.batch.summary import summarise, text_of
from nearline.batch.verifying import verify
from nearline.cli.options import HERE, AppFile, Config, tenant_of
from nearline.embedded.backup import backup as run_backup
from nearline.embedded.maintenance import maintain as run_maintenance
from nearline.schema.errors import NearlineError
from nearline.stores.adapters import shown
from nearline.stream.local import LocalStream

console = Console(stderr=True)


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command("import", help="Import a history. Example: nearline import ml-100k --app my-shop")(import_)
    cli.command(help="Append another folder's history to this log, which is empty. Example: nearline move nearline-data")(move)
    cli.command(help="Archive the log to the lake and snapshot the state. Example: nearline maintain")(maintain)
    cli.command(help="Copy everything to a new folder, beside a running server. Example: nearline backup /mnt/monday")(backup)
    cli.command(help="Rebuild the state from lake and log. Example: nearline replay --verify")(replay)


def import_(
    data: Annotated[Path, typer.Argument(help=f"A folder or file: {', '.join(form.name for form in FORMATS)}.")],
    app: AppFile = HERE,
    config: Config = None,
    mapping: Annotated[
        str,
        typer.Option("--map", help="Columns of a CSV or Parquet: user_id=customer,item_id=sku,timestamp=ts; or a TOML file."),
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be imported and what not; write nothing.")] = False,
    data_clock: Annotated[bool, typer.Option(help="Let time go on from the data's last event.")] = True,
) -> None:
    """Import items and events into an empty tenant; one that was broken off goes on."""
    tenant = tenant_of(app, config)
    with console.status(f"reading {data}"):
        dataset = load_dataset(data, parse_map(mapping) if mapping else None)
    told = text_of(summarise(dataset))
    if dry_run:
        print(told)
        check_types(tenant, dataset)
        console.print("nothing was written")
        return
    import_with_bar(tenant, dataset, data_clock)
    print(told)


def import_with_bar(tenant: Tenant, dataset: Dataset, data_clock: bool = True) -> None:
    """Import with a progress bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        tasks = {what: progress.add_task(f"import {what}", total=None) for what in _parts(dataset)}

        def step(what: str, done: int, total: int) -> None:
            progress.update(tasks[what], completed=done, total=total)

        import_dataset(tenant, dataset, data_clock=data_clock, progress=step)


def _parts(dataset: Dataset) -> tuple[str, ...]:
    return ("items", "events") if dataset.lists is None else ("items", "events", "lists")


def move(
    old: Annotated[Path, typer.Argument(help="The folder that held everything ([storage] path); its log is in SQLite.")],
    app: AppFile = HERE,
    config: Config = None,
) -> None:
    """Move to the log of the settings: items, events, clock and releases; the old folder stays as it is."""
    tenant = tenant_of(app, config)
    storage = Storage(path=str(old.absolute()), durability=tenant.settings.storage.durability)
    if not (old / tenant.name).is_dir():
        raise NearlineError("old", str(old), f"name the folder that held {tenant.name}")
    before = Tenant(tenant.app, msgspec.structs.replace(tenant.settings, storage=storage), tenant.name)
    with console.status("moving") as status:
        done = run_move(before, tenant, lambda topic, n: status.update(f"{topic}: {n:,}"))
    told = ", ".join(f"{n:,} {topic}" for topic, n in done.items())
    console.print(f"moved {told} to {shown(tenant.settings.storage.log)}", highlight=False, soft_wrap=True)


def maintain(app: AppFile = HERE, config: Config = None) -> None:
    """Archive, apply erasures, expire, snapshot; runs beside a server."""
    console.print(run_maintenance(tenant_of(app, config)))


def backup(
    to: Annotated[Path, typer.Argument(help="A new folder; give it as [storage] path to serve from it.")],
    app: AppFile = HERE,
    config: Config = None,
) -> None:
    """Copy log, lake, releases and snapshots; runs beside a server."""
    size = run_backup(tenant_of(app, config), to)
    console.print(f"{size / 1e6:,.1f} MB in {to}; serve it with NEARLINE_STORAGE_PATH={to}", highlight=False, soft_wrap=True)


def replay(
    app: AppFile = HERE,
    config: Config = None,
    check: Annotated[bool, typer.Option("--verify", help="Compare with the vectors that impressions logged.")] = False,
) -> None:
    """Fold lake and log from nothing and say how fast; --verify compares served features, exactly."""
    tenant = tenant_of(app, config)
    log = tenant.log(read_only=True)
    try:
        if check:
            report = verify(tenant, log)
            console.print(report.text())
            raise typer.Exit(0 if report.equal else 1)
        stream = LocalStream(tenant)
        started = time.monotonic()
        events = stream.follow(log)
        seconds = time.monotonic() - started
        console.print(f"{events:,} events in {seconds:.2f} s ({events / max(seconds, 1e-9):,.0f} a second)")
    finally:
        log.close()
