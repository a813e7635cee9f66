"""`evaluate`."""

from __future__ import annotations

import os
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from nearline.app.settings import load_settings
from nearline.batch.metrics import Estimate
from nearline.cli.options import Config
from nearline.embedded.evaluation import Plan, Report
from nearline.embedded.evaluation import evaluate as run_evaluation
from nearline.schema.errors import NearlineError

console = Console(stderr=True)


class _Protocol(StrEnum):
    A = "A"
    B = "B"
    C = "C"


class _Holdout(StrEnum):
    TEST = "test"
    VALIDATION = "validation"


class _Switch(StrEnum):
    ON = "on"
    OFF = "off"


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command(help="Measure quality on real data. Example: nearline evaluate --data ml-100k --protocol C")(evaluate)


def evaluate(
    data: Annotated[Path, typer.Option(help="A folder or file that `nearline import` knows.")],
    protocol: Annotated[_Protocol, typer.Option(help="A: leave one out. B: one point in time. C: next event.")],
    holdout: Annotated[_Holdout, typer.Option(help="The part asked about; tune on validation only.")] = _Holdout.TEST,
    rules: Annotated[_Switch, typer.Option(help="Diversity and the cap per category; filters stay.")] = _Switch.ON,
    frozen: Annotated[bool, typer.Option("--frozen", help="C: stream nothing in after the split.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="No server: the same engine in this process.")] = False,
    users: Annotated[int, typer.Option(help="Ask about so many users only, drawn by seed; 0: all.", min=0)] = 0,
    repeats: Annotated[bool, typer.Option("--repeats", help="C: what a user has had may be listed again.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    keep: Annotated[Path | None, typer.Option(help="Keep the tenant in this folder, which must be new.")] = None,
    config: Config = None,
) -> None:
    """Train on what is known, ask a server as a client would; exit code 1 if any list was degraded."""
    base = load_settings(config, os.environ)
    plan = Plan(
        data,
        protocol.value,
        holdout.value,
        rules is _Switch.ON,
        frozen,
        offline,
        users,
        repeats=repeats,
    )
    if keep is not None and keep.exists() and any(keep.iterdir()):
        raise NearlineError("--keep", str(keep), "choose a folder that is new or empty")
    with tempfile.TemporaryDirectory(prefix="nearline-") as temporary:
        folder = keep.resolve() if keep is not None else Path(temporary)
        report = run_evaluation(plan, folder, base, lambda text: console.print(text, highlight=False))
    if as_json:
        print(msgspec.json.encode(flat(report)).decode())
    else:
        Console().print(table(report))
    if report.degraded:
        console.print(
            f"[bold red]error:[/] degraded lists, so the figures don't count: {report.degraded}",
            highlight=False,
        )
        raise typer.Exit(1)


def flat(report: Report) -> dict[str, Any]:
    """Return a report as one object: each estimate as its mean and, with `_error`, its standard error."""
    out: dict[str, Any] = {}
    for name in msgspec.structs.fields(Report):
        value = getattr(report, name.name)
        if isinstance(value, Estimate):
            out[name.encode_name], out[f"{name.encode_name}_error"] = value.mean, value.error
        else:
            out[name.encode_name] = value
    return out


def table(report: Report) -> Table:
    """Return a report for people."""
    part = f"{report.data}, protocol {report.protocol} ({report.holdout})"
    title = f"{part}, through {report.through}, rules {report.rules}"
    out = Table("measure", "value", title=title + (", frozen" if report.frozen else ""))
    for name in msgspec.structs.fields(Report):
        value = getattr(report, name.name)
        if name.name in ("data", "protocol", "holdout", "through", "rules", "frozen", "offline_metrics"):
            continue
        if isinstance(value, Estimate):
            shown = f"{value.mean:.4f} ± {value.error:.4f}"
        elif isinstance(value, float):
            shown = f"{value:,.4f}" if abs(value) < 1 else f"{value:,.2f}"
        elif isinstance(value, int):
            shown = f"{value:,}"
        elif isinstance(value, dict):
            shown = ", ".join(f"{key} {count}" for key, count in value.items()) or "none"
        else:
            shown = str(value)
        out.add_row(name.encode_name.replace("_", " "), shown)
    return out
