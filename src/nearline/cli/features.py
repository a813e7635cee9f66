"""`features`: visitors' rows as they were at a time, written as Parquet."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from nearline.app.tenant import Tenant
from nearline.batch.backfill.folding import Folded
from nearline.batch.backfill.local import run_local
from nearline.batch.backfill.plan import Job, Place, finish, plan_job
from nearline.cli.on_spark import Engine, Master, need_spark
from nearline.cli.options import HERE, AppFile, Config, tenant_of
from nearline.serving.times import milliseconds

console = Console(stderr=True, highlight=False)


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command(
        help="Write visitors' rows as they were at a time. Example: nearline features --as-of 2026-11-01T00:00Z --out rows"
    )(features)


def features(
    out: Annotated[Path, typer.Option(help="A folder for Parquet files; one that was begun is gone on with.")],
    as_of: Annotated[str, typer.Option(help="Events that came before this time count; now by default.")] = "",
    app: AppFile = HERE,
    config: Config = None,
    engine: Annotated[Engine, typer.Option(help="local: this process. spark: a job on Apache Spark.")] = Engine.local,
    previous: Annotated[
        Path | None, typer.Option("--from", help="An earlier output to go on from: only later events are folded.")
    ] = None,
    columns: Annotated[bool, typer.Option(help="Each fold's fields as columns, beside the packed rows.")] = False,
    buckets: Annotated[
        int, typer.Option(help="Files of the output; by the number of events by default.", min=0, max=65_536)
    ] = 0,
    master: Master = "",
) -> None:
    """Fold the lake again up to a time, bucket by bucket; the server, its state and its store are not touched."""
    tenant = tenant_of(app, config)
    at = tenant.clock.now() if not as_of else milliseconds(int(as_of) if as_of.isdigit() else as_of, "--as-of")
    began = time.monotonic()
    job = plan_job(tenant, at, out, previous, columns, buckets)
    done = run_local(tenant, job, _say) if engine is Engine.local else _on_spark(tenant, app, job, master)
    whole = finish(job)
    seconds, events = time.monotonic() - began, sum(bucket.events for bucket in done)
    console.print(f"{whole.visitors:,} visitors in {out}: {events:,} events folded in {seconds:.1f} s", soft_wrap=True)


def _on_spark(tenant: Tenant, app: Path, job: Job, master: str) -> list[Folded]:
    need_spark()
    from nearline.batch.backfill.spark import run_spark

    return run_spark(Place(app.resolve(), tenant.settings, tenant.name), job, master, _say)


def _say(text: str) -> None:
    console.print(text, soft_wrap=True)
