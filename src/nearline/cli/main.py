"""The command's root: subcommands, and errors told as what to do."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from nearline.cli import batch, data, demo, evaluate, run, simulate
from nearline.schema.errors import NearlineError, StoreUnavailableError

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Real-time recommendations: a click changes the very next list. Try it: `nearline demo`",
)
for module in (demo, run, data, batch, evaluate, simulate):
    module.register(cli)


def main() -> None:
    """Run the command; a mistake that the user can mend is one line on stderr and exit code 2."""
    try:
        cli(standalone_mode=True)
    except NearlineError as error:
        Console(stderr=True).print(f"[bold red]error:[/] {error}", highlight=False)
        sys.exit(2)
    except StoreUnavailableError as error:
        Console(stderr=True).print(f"[bold red]error:[/] {error}; nothing was lost, try again", highlight=False)
        sys.exit(3)
