"""`state`: what is kept of one visitor, as it lies in the store."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nearline.cli.options import HERE, AppFile, Config, tenant_of
from nearline.embedded.row_view import RowView, row_view


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command(help="Print what is kept of a visitor, as it lies in the store. Example: nearline state u00795")(state)


def state(
    user: Annotated[str, typer.Argument(help="The user's id; with --session, an anonymous visitor's session id.")],
    app: AppFile = HERE,
    config: Config = None,
    session: Annotated[bool, typer.Option("--session", help="The visitor is anonymous.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, zeros too, as JSON.")] = False,
) -> None:
    """Read the row, ask no server, write nothing; print where it is, its offsets, and each fold's fields."""
    found = row_view(tenant_of(app, config), *(("", user) if session else (user, "")))
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
        return
    out = Console(highlight=False, width=None if os.isatty(1) else 120)
    out.print(f"visitor {escape(user)}, key {found.key}, in {escape(found.store)}", soft_wrap=True)
    for name in found.names:
        out.print(f"  {name}", markup=False, soft_wrap=True)
    kept = ", ".join(f"{tier} {size} bytes" if size else f"{tier} gone" for tier, size in found.bytes.items())
    out.print(f"partition {found.partition}, folded up to offset {found.progress}; {kept}")
    if not found.last:
        out.print("never seen, or erased" if found.offset < 0 else f"erased at offset {found.offset}")
        return
    last = datetime.fromtimestamp(found.last / 1000, UTC).isoformat()
    out.print(f"last event: offset {found.offset}, at {last}")
    out.print(_table(found))


def _table(found: RowView) -> Table:
    table = Table("fold", "tier", "field", "value", box=None)
    for fold in found.folds:
        first = True
        for name, value in fold.fields.items():
            if _blank(value):
                continue
            table.add_row(fold.name if first else "", fold.tier if first else "", name, escape(_text(value)))
            first = False
    return table


def _blank(value: Any) -> bool:
    return all(_blank(one) for one in value) if isinstance(value, list | tuple) else not value


def _text(value: Any) -> str:
    """Return a value on one line; the empty places at the end of a list are left out."""
    if not isinstance(value, list):
        return str(value)
    end = max((place + 1 for place, one in enumerate(value) if not _blank(one)), default=0)
    rest = f" … {len(value) - end} more are empty" if end < len(value) else ""
    return f"[{', '.join(map(str, value[:end]))}]{rest}"
