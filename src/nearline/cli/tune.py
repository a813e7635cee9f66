"""`tune`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from nearline.app.definition import App
from nearline.app.settings import load_settings
from nearline.app.settings_text import toml_value
from nearline.batch.tuning import Axis, Chosen, Trial, Worth, axes, best, changes
from nearline.batch.tuning import tune as run_tuning
from nearline.cli.options import HERE, AppFile, Config, tenant_of
from nearline.embedded.evaluation import PROTOCOLS, Plan
from nearline.embedded.tuning import DataWorth, TenantWorth
from nearline.schema.errors import NearlineError

console = Console(stderr=True, highlight=False)


def register(cli: typer.Typer) -> None:
    """Add the command."""
    example = "nearline tune --app my-shop --trials 30, or nearline tune --on ml-1m:A --on ml-100k:C --users 500"
    cli.command(help=f"Look for better arguments of components. Example: {example}")(tune)


def tune(
    app: AppFile = HERE,
    config: Config = None,
    on: Annotated[
        list[str] | None, typer.Option(help="DATA:PROTOCOL, instead of an application's own last days; several count alike.")
    ] = None,
    trials: Annotated[int, typer.Option(help="Trainings in all; the first is that of the defaults.", min=2, max=10_000)] = 20,
    users: Annotated[int, typer.Option(help="With --on: ask about so many users only; 0: all.", min=0)] = 500,
    only: Annotated[list[str] | None, typer.Option(help="Components to tune, by name; all that can be by default.")] = None,
    seed: Annotated[int, typer.Option(help="Of the search.", min=0)] = 7,
) -> None:
    """Print the settings that made the best lists, and how sure that is; nothing is published or changed."""
    worth: DataWorth | TenantWorth
    if on:
        worth = DataWorth([_plan(text, users) for text in on], load_settings(config, os.environ))
        space = axes(App(name="evaluation", events=["view"]), only or ())
    else:
        tenant = tenant_of(app, config)
        worth, space = TenantWorth(tenant), axes(tenant.app, only or ())
    console.print(f"{len(space)} arguments of {len({axis.component for axis in space})} components, {trials} trainings")
    done = run_tuning(space, worth, trials, seed, _say)
    found, first = best(done), done[0]
    Console().print(_table(space, found.chosen))
    said = f"{_shown(found.worth)} against {_shown(first.worth)} with the defaults"
    if isinstance(worth, DataWorth) and users and found is not first:
        others = worth.on_others()
        defaults, again = others(first.chosen), others(found.chosen)
        said += f"; on other users {_shown(again)} against {_shown(defaults)}"
        first, found = Trial(first.chosen, defaults, 0.0), Trial(found.chosen, again, 0.0)
    console.print(said)
    if found.worth.mean - first.worth.mean <= 2 * (found.worth.error**2 + first.worth.error**2) ** 0.5:
        console.print("That is within the error: the defaults may be as good; more users or trials would tell.")
    print(_toml(changes(space, found.chosen)), end="")


def _plan(text: str, users: int) -> Plan:
    data, _, protocol = text.rpartition(":")
    if protocol not in PROTOCOLS or not data:
        raise NearlineError("--on", text, "write DATA:PROTOCOL with a folder and A, B or C, such as data/ml-1m:A")
    return Plan(Path(data), protocol, users=users)


def _say(trial: Trial, place: int, leader: Trial) -> None:
    mark = " (the best so far)" if trial is leader else ""
    console.print(f"{place + 1:>4}  {_shown(trial.worth)}  {trial.seconds:.0f} s{mark}")


def _shown(worth: Worth) -> str:
    return f"{worth.mean:.4f} ± {worth.error:.4f}"


def _table(space: tuple[Axis, ...], chosen: Chosen) -> Table:
    out = Table("argument", "default", "found", "looked for in")
    for axis in space:
        value = chosen[axis.component][axis.argument]
        out.add_row(axis.name, f"{axis.default:g}", f"{value:.3g}", f"{axis.span.low:g} to {axis.span.high:g}")
    return out


def _toml(found: Chosen) -> str:
    if not found:
        return "# The defaults are the best that was found.\n"
    rows = "".join(f"{name} = {toml_value(values)}\n" for name, values in found.items())
    return f"# For nearline.toml\n[components.options]\n{rows}"
