"""The command's root: subcommands, and errors told as what to do."""

from __future__ import annotations

import os
import sys

import typer
from rich.console import Console
from rich.markup import escape

from nearline.cli import batch, data, demo, doctor, evaluate, explain, features, publish, run, simulate, state, stream, tune
from nearline.schema.errors import NearlineError, StoreUnavailableError

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Real-time recommendations: a click changes the very next list. Try it: `nearline demo`",
)
for module in (demo, run, data, batch, doctor, explain, state, evaluate, simulate, stream, publish, features, tune):
    module.register(cli)


def main() -> None:
    """Run the command; a mistake that the user can mend is one line on stderr and exit code 2."""
    # Threads of a fit that wait for each other must not burn the core that serving needs. Read when ALS is first loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        cli(standalone_mode=True)
    except NearlineError as error:
        _say(str(error))
        sys.exit(2)
    except StoreUnavailableError as error:
        _say(f"{error}; nothing was lost, try again")
        sys.exit(3)


def _say(text: str) -> None:
    """Print an error as it is, brackets and all, on one line for those who search for it."""
    Console(stderr=True, highlight=False).print(f"[bold red]error:[/] {escape(text)}", soft_wrap=True)
