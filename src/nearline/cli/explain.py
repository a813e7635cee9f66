"""`explain`: ask a running server why an item is in a visitor's list, or why not."""

from __future__ import annotations

import os
from typing import Annotated
from urllib.parse import urlencode

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nearline.schema.errors import NearlineError
from nearline.serving.problems import ProblemBody
from nearline.serving.why import Why
from nearline.sim.client import Client


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command(help="Say why an item is in a visitor's list, or why not. Example: nearline explain u00795 i00411")(explain)


def explain(
    user: Annotated[str, typer.Argument(help="The user's id; with --session, an anonymous visitor's session id.")],
    item: Annotated[str, typer.Argument(help="The item asked about.")],
    url: Annotated[str, typer.Option(help="The running server.")] = "http://127.0.0.1:8080",
    session: Annotated[bool, typer.Option("--session", help="The visitor is anonymous.")] = False,
    context: Annotated[str, typer.Option(help="Where the list is shown.")] = "homepage",
    page_item: Annotated[str, typer.Option(help="The item that the page is about.")] = "",
    page_size: Annotated[int, typer.Option(help="Items in the list.")] = 20,
    locale: Annotated[str, typer.Option(help="Language tag, for the reason's words.")] = "",
    key: Annotated[str, typer.Option(help="API key; by default the environment's.", envvar="NEARLINE_SERVER_API_KEY")] = "",
) -> None:
    """Ask, and print what each stage did with the item."""
    asked = {"session_id" if session else "user_id": user, "item_id": item, "context": context, "page_size": page_size}
    asked |= {name: text for name, text in (("page_item_id", page_item), ("locale", locale)) if text}
    client = Client(url, {"X-API-Key": key} if key else None, tries=1)
    try:
        answer = client.get(f"/v1/explain?{urlencode(asked)}")
    finally:
        client.close()
    if not answer.status:
        raise NearlineError("--url", url, "no server answers there; start one with `nearline serve`")
    if not answer.ok:
        problem = msgspec.json.decode(answer.body, type=ProblemBody)
        raise NearlineError(problem.field or "item", item, problem.remedy or problem.detail)
    show(msgspec.json.decode(answer.body, type=Why), Console(highlight=False, width=None if os.isatty(1) else 120))


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
