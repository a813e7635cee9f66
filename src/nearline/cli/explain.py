"""`explain`: why an item is in a visitor's list, or why not, by a running server or from the data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nearline.app.tenant import Tenant
from nearline.cli.options import HERE, AppFile, Config, tenant_of
from nearline.embedded.offline import explain_offline
from nearline.schema.errors import NearlineError
from nearline.schema.ids import visitor_key
from nearline.schema.query import SURFACES, Query
from nearline.serving.params import language_tag
from nearline.serving.problems import ProblemBody
from nearline.serving.routes_lists import MOST_SIZE
from nearline.serving.why import Why
from nearline.sim.client import Client


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command(help="Say why an item is in a visitor's list, or why not. Example: nearline explain u00795 i00411")(explain)


def explain(
    user: Annotated[str, typer.Argument(help="The user's id; with --session, an anonymous visitor's session id.")],
    item: Annotated[str, typer.Argument(help="The item asked about.")],
    app: AppFile = HERE,
    config: Config = None,
    url: Annotated[str, typer.Option(help="The running server; by default where the application's settings say.")] = "",
    offline: Annotated[bool, typer.Option("--offline", help="Ask no server; read the application's data.")] = False,
    session: Annotated[bool, typer.Option("--session", help="The visitor is anonymous.")] = False,
    context: Annotated[str, typer.Option(help="Where the list is shown.")] = SURFACES[0],
    page_item: Annotated[str, typer.Option(help="The item that the page is about.")] = "",
    page_size: Annotated[int, typer.Option(help="Items in the list.", min=1, max=MOST_SIZE)] = 20,
    locale: Annotated[str, typer.Option(help="Language tag, for the reason's words.")] = "",
    key: Annotated[str, typer.Option(help="API key; by default that of the settings.", envvar="NEARLINE_SERVER_API_KEY")] = "",
) -> None:
    """Ask the running server, or read the data where none answers; print which, and what each stage did with the item."""
    if context not in SURFACES:
        raise NearlineError("--context", context, f"use one of {', '.join(SURFACES)}")
    if locale:
        language_tag(locale, "--locale")
    tenant = None if url or not app.exists() else tenant_of(app, config)
    out = Console(highlight=False, width=None if os.isatty(1) else 120)
    asked: dict[str, str | int] = {
        "session_id" if session else "user_id": user,
        "item_id": item,
        "context": context,
        "page_size": page_size,
    }
    asked |= {name: text for name, text in (("page_item_id", page_item), ("locale", locale)) if text}
    silent = "asked no server"
    if not offline:
        address = url or _address(tenant)
        found = _from_server(address, key or (tenant.settings.server.api_key if tenant else ""), asked, tenant)
        if isinstance(found, Why):
            _tell(out, f"asked the server at {address}")
            show(found, out)
            return
        silent = f"{found} at {address}"
        if url:
            raise NearlineError("--url", url, "no server answers there; start one with `nearline serve`")
    if tenant is None:
        raise NearlineError("--app", str(app), f"{silent}: name the application whose data is to be read, or a server by --url")
    user_id, session_id = ("", user) if session else (user, "")
    query = Query(
        visitor_key(user_id, session_id), 0, user_id=user_id, session_id=session_id, surface=context,
        page_size=page_size, item_id=page_item, locale=locale,
    )  # fmt: skip
    _tell(out, f"{silent}; reading the data in {Path(tenant.settings.storage.path) / tenant.name}")
    answer = explain_offline(tenant, query, item)
    if answer is None:
        raise NearlineError("item", item, "there is no such item in the data")
    show(answer, out)


def _tell(out: Console, text: str) -> None:
    out.print(f"[dim]{escape(text)}[/]", soft_wrap=True)


def _address(tenant: Tenant | None) -> str:
    if tenant is None:
        return "http://127.0.0.1:8080"
    host, port = tenant.settings.server.host, tenant.settings.server.port
    return f"http://{'127.0.0.1' if host in ('', '0.0.0.0', '::') else f'[{host}]' if ':' in host else host}:{port}"


def _from_server(url: str, key: str, asked: dict[str, str | int], tenant: Tenant | None) -> Why | str:
    """Return the answer of a server, or what is wrong with it: it does not answer, or serves another application."""
    client = Client(url, {"X-API-Key": key} if key else None, tries=1)
    try:
        if tenant is not None:
            about = client.get("/v1/application")
            name = msgspec.json.decode(about.body, type=_Named).name if about.ok else tenant.app.name
            if name != tenant.app.name:
                return f"another application, {name}, is served"
        answer = client.get(f"/v1/explain?{urlencode(asked)}")
    finally:
        client.close()
    if not answer.status:
        return "no server answers"
    if not answer.ok:
        problem = msgspec.json.decode(answer.body, type=ProblemBody)
        raise NearlineError(problem.field or "item", problem.value or asked["item_id"], problem.remedy or problem.detail)
    return msgspec.json.decode(answer.body, type=Why)


class _Named(msgspec.Struct):
    name: str


def show(found: Why, out: Console) -> None:
    """Print an answer."""
    out.print(f"[bold]{found.verdict.replace('_', ' ')}[/]  {escape(found.answer)}")
    if found.needed:
        out.print(f"[dim]needed:[/] {escape(found.needed)}")
    if found.retrieved_by:
        table = Table("source", "rank", "of", "its score", "share", "led by", title="found by", title_justify="left")
        for one in found.retrieved_by:
            led = escape(one.source_item_id)
            table.add_row(one.source, str(one.rank), f"{one.of:,}", f"{one.score:.4g}", f"{one.share:.0%}", led)
        out.print(table)
    if found.changes:
        table = Table("step", "rank", "was", "of", "score", "was", title="ranked by", title_justify="left")
        for change in found.changes:
            was = (str(change.was_rank) if change.was_rank else "", _number(change.was_score))
            table.add_row(change.step, str(change.rank), was[0], f"{change.of:,}", _number(change.score), was[1])
        out.print(table)
    if (last := found.last_shown) is not None:
        gap = "" if last.gap is None else f", {abs(last.gap):.4g} {'above' if last.gap > 0 else 'below'} it"
        out.print(f"the list ends with {escape(last.item_id)} at place {last.rank}, score {last.score:.4g}{gap}")
    late = f"; late or failed: {', '.join(found.missing)}" if found.missing else ""
    out.print(f"[dim]release {found.model_version}, served from {found.served_from}, offset {found.offset:,}{late}[/]")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
