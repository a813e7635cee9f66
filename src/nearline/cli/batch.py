"""`train`, `releases`, `rollback`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from nearline.app.tenant import Tenant
from nearline.batch.backfill.plan import Place
from nearline.batch.training import Outcome
from nearline.batch.training import train as run_training
from nearline.cli.on_spark import Engine, Master, need_spark
from nearline.cli.options import HERE, AppFile, Config, tenant_of

console = Console(stderr=True)


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command(help="Train, judge and publish a release. Example: nearline train --app my-shop")(train)
    cli.command(help="List releases with their metrics. Example: nearline releases --app my-shop")(releases)
    cli.command(help="Go back to an earlier release. Example: nearline rollback r000001")(rollback)


def train(
    app: AppFile = HERE,
    config: Config = None,
    engine: Annotated[
        Engine, typer.Option(help="Who factorises (ALS). local: this process. spark: MLlib on Apache Spark.")
    ] = Engine.local,
    master: Master = "",
) -> None:
    """Train a release; running servers swap to it. Exit code 1 where a gate refused it."""
    tenant = tenant_of(app, config)
    os.nice(tenant.settings.train.nice)
    outcome = run_training(tenant, _say) if engine is Engine.local else _on_spark(tenant, app, master)
    if not outcome.published:
        raise typer.Exit(1)


def _on_spark(tenant: Tenant, app: Path, master: str) -> Outcome:
    need_spark()
    from nearline.batch.spark_als import SparkFactoriser

    with SparkFactoriser(Place(app.resolve(), tenant.settings, tenant.name), master, _say) as factoriser:
        return run_training(tenant, _say, factoriser=factoriser)


def _say(text: str) -> None:
    console.print(text, highlight=False)


def releases(app: AppFile = HERE, config: Config = None) -> None:
    """List releases, newest first."""
    store = tenant_of(app, config).releases
    table = Table("release", "in service", "NDCG@10", "popularity", "coverage", "events", "taught by")
    for version in reversed(store.versions()):
        manifest = store.manifest(version)
        ours, popular = manifest.metrics.get("release", {}), manifest.metrics.get("popularity", {})
        table.add_row(
            version,
            "yes" if version == store.current() else "",
            f"{ours.get('ndcg@10', 0):.4f}",
            f"{popular.get('ndcg@10', 0):.4f}",
            f"{ours.get('coverage', 0):.3f}",
            f"{manifest.events:,}",
            manifest.examples,
        )
    Console().print(table)


def rollback(
    version: Annotated[str, typer.Argument(help="The release; the one before by default.")] = "",
    app: AppFile = HERE,
    config: Config = None,
) -> None:
    """Make an earlier release current; running servers swap to it."""
    store = tenant_of(app, config).releases
    store.refresh()
    target = version or store.manifest(store.current()).parent
    store.use(target)
    console.print(f"{target} is in service")
