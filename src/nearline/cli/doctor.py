"""`doctor`: what is found, what is wrong, and the next step when a number says so."""

from __future__ import annotations

import contextlib
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from nearline.app.tenant import Tenant
from nearline.cli.options import HERE, AppFile, Config, tenant_of
from nearline.embedded.doctor import examine
from nearline.serving.scraped import Scraped, scraped
from nearline.sim.client import Client
from nearline.stores.finding import Finding

PATIENCE = 3.0
"""Seconds that the server may take to answer."""
MARKS = {"wrong": "[bold red]wrong[/]", "warning": "[yellow]look[/]", "grow": "[bold blue]grow[/]", "ok": "[green]ok[/]"}


def register(cli: typer.Typer) -> None:
    """Add the command."""
    text = "Look at log, lake, state, release, engines and server; say what is wrong and what to do. Example: nearline doctor"
    cli.command(help=text)(doctor)


def doctor(
    app: AppFile = HERE,
    config: Config = None,
    url: Annotated[str, typer.Option(help="Of the server; the one in the settings by default.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of objects, for programs.")] = False,
) -> None:
    """Print findings, what is wrong first. Exit code 1 where something is wrong."""
    tenant = tenant_of(app, config)
    found = examine(tenant, _server(tenant, url))
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        _tell(found)
    if any(finding.level == "wrong" for finding in found):
        raise typer.Exit(1)


def _server(tenant: Tenant, url: str) -> Scraped | None:
    server = tenant.settings.server
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.host, server.host)
    base = url.rstrip("/") or f"http://{f'[{host}]' if ':' in host else host}:{server.port}"
    headers = {"Authorization": f"Bearer {server.api_key}"} if server.api_key else {}
    with contextlib.closing(Client(base, headers, tries=1, timeout=PATIENCE)) as client:
        answer = client.get("/metrics")
    return scraped(answer.body.decode(errors="replace")) if answer.ok else None


def _tell(found: list[Finding]) -> None:
    out = Console(highlight=False)
    for finding in found:
        out.print(f"{MARKS[finding.level]}  [bold]{escape(finding.what)}[/]: {escape(finding.value)}", soft_wrap=True)
        if finding.why:
            out.print(f"       because {escape(finding.why)}", soft_wrap=True)
        if finding.remedy:
            out.print(f"       [bold]→ {escape(finding.remedy)}[/]", soft_wrap=True)
    wrong = sum(finding.level == "wrong" for finding in found)
    out.print(f"\n{wrong} wrong" if wrong else "\nnothing is wrong")
