"""`simulate`: shoppers that do not exist in front of a server that does, in virtual time, or their events as files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from nearline.cli.weeks import refuse_to_overwrite, tell_weeks, write_report
from nearline.embedded.demo import shop_dataset
from nearline.embedded.simulation import Arm, WeeksPlan, arm, compare
from nearline.embedded.weeks import ArmReport, Comparison, by_week
from nearline.schema.errors import NearlineError
from nearline.sim.catalog import SimItem
from nearline.sim.client import Client
from nearline.sim.config import LIVELY, STILL
from nearline.sim.driver import drive
from nearline.sim.report import DriveReport, ListNote
from nearline.sim.world import ShopWorld

console = Console(stderr=True, highlight=False)
BATCH = 500


class Form(StrEnum):
    """How files are written."""

    JSONL = "jsonl"
    PARQUET = "parquet"


class Times(StrEnum):
    """Whose time events carry."""

    SERVER = "server"
    SIMULATED = "simulated"


class Life(StrEnum):
    """What changes over time."""

    STILL = "still"
    LIVELY = "lively"


def register(cli: typer.Typer) -> None:
    """Add the command."""
    text = "Let simulated shoppers visit a server. Example: nearline simulate --days 2 --against http://127.0.0.1:8080"
    cli.command(help=text)(simulate)


def simulate(
    against: Annotated[str, typer.Option(help="URL of the server that they visit.")] = "",
    out: Annotated[Path | None, typer.Option(help="Instead: folder for a past without recommendations, as files.")] = None,
    form: Annotated[Form, typer.Option("--format", help="Form of these files.")] = Form.PARQUET,
    virtual: Annotated[
        bool, typer.Option("--virtual", help="Instead: an engine in this process and in virtual time, for some --weeks.")
    ] = False,
    days: Annotated[int, typer.Option(min=1, help="Simulated days.")] = 1,
    weeks: Annotated[int, typer.Option(min=0, help="Simulated weeks, instead of days, with a report by week.")] = 0,
    arms: Annotated[
        list[str] | None,
        typer.Option(
            "--arm", help='With --virtual: a configuration to compare, such as "plain:rules.diversity=0"; repeatable.'
        ),
    ] = None,
    past: Annotated[int, typer.Option(min=5, help="With --virtual: days of history to learn from at first.")] = 28,
    life: Annotated[
        Life | None,
        typer.Option(help="Whether tastes, seasons and the catalogue change; by default only with --virtual."),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="With --weeks: folder for report.json and report.svg.")] = None,
    users: Annotated[int, typer.Option(help="Users of the shop.")] = 1_000,
    items: Annotated[int, typer.Option(help="Items of the shop; the server gets those that it lacks.")] = 2_000,
    seed: Annotated[int, typer.Option(help="The same seed is the same shop; that of the demo is 0.")] = 0,
    rate: Annotated[float, typer.Option(min=0.0, help="Factor on everybody's activity.")] = 1.0,
    timestamps: Annotated[
        Times, typer.Option(help="Times of events: the server's own when they arrive, or the simulated ones.")
    ] = Times.SERVER,
    run: Annotated[
        int | None, typer.Option(help="The same number repeats the same visits; by default each run differs.")
    ] = None,
    api_key: Annotated[str, typer.Option(envvar="NEARLINE_SERVER_API_KEY", help="Key of the server.")] = "",
) -> None:
    """Visit a server, or write what would have happened without one."""
    if bool(against) + (out is not None) + virtual != 1:
        raise NearlineError("--against", against, "give the URL of a server, --virtual, or --out FOLDER for files; one of them")
    if virtual and not weeks:
        raise NearlineError("--weeks", weeks, "with --virtual, say how many weeks: --weeks 4")
    if arms and not virtual:
        raise NearlineError("--arm", arms, "configurations are compared with --virtual; a server has its own")
    if report is not None and not weeks:
        raise NearlineError("--report", str(report), "reports are by week: say how many, --weeks 4")
    refuse_to_overwrite(report)
    lively = life is Life.LIVELY or (life is None and virtual)
    if lively and 7 * weeks > LIVELY.horizon_days:
        raise NearlineError("--weeks", weeks, f"new items and users are made for {LIVELY.horizon_days // 7} weeks at most")
    world = ShopWorld(seed, users, items, config=LIVELY if lively else STILL)
    if virtual:
        plan = WeeksPlan(weeks, past, rate=rate, run=run or 0)
        with console.status("simulating"):
            found = compare(world, [arm(text) for text in arms or ()] or [Arm("default")], plan, console.print)
        _finish(found, report)
        return
    if out is not None:
        write(world, days, out, form)
        return
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    _register_items(world, against, headers)
    notes: list[ListNote] = []
    days = 7 * weeks or days
    with _bar("simulated days", days) as advance:
        visited = drive(
            against, world, days, timestamps=timestamps.value, rate=rate, headers=headers, progress=advance,
            run=int(time.time()) if run is None else run, note=notes.append,
        )  # fmt: skip
    tell(visited, Console())
    if weeks:
        made = ArmReport("server", *by_week(notes, world), [], visited.errors, {})
        _finish(Comparison(seed, len(world.people.ids), len(world.items), [made]), report)


def _finish(found: Comparison, folder: Path | None) -> None:
    tell_weeks(found.arms, Console())
    if folder is not None:
        write_report(found, folder)
        console.print(f"wrote {folder}/report.json and {folder}/report.svg")


def _register_items(world: ShopWorld, against: str, headers: dict[str, str]) -> None:
    """Give the server the shop's items where it does not know the first and the last of them."""
    client = Client(against, headers)
    try:
        items = world.items_at(world.end_ms)
        ends = (items[0].item_id, items[-1].item_id)
        answers = [client.get(f"/v1/items/{quote(item_id)}/similar?limit=1") for item_id in ends]
        if not all(answer.status for answer in answers):
            raise NearlineError("--against", against, "start the server, or check the URL: nothing answers there")
        if all(answer.ok for answer in answers):
            return
        for begin in range(0, len(items), BATCH):
            answer = client.post("/v1/items", msgspec.json.encode(items[begin : begin + BATCH]))
            if not answer.ok:
                raise NearlineError("/v1/items", answer.status, f"the server said: {answer.body.decode()[:300]}")
        console.print(f"the server got {len(items):,} items")
    finally:
        client.close()


def write(world: ShopWorld, days: int, folder: Path, form: Form) -> None:
    """Write items and events of a shop's past; `nearline import` reads the Parquet form.

    JSON lines hold events and items as clients send them; Parquet holds columns, tags split by "|".
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{what}.{form.value}" for what in ("items", "events")]
    if there := [file.name for file in files if file.exists()]:
        raise NearlineError(str(folder), there, "choose another folder, or move these files away; nothing was written")
    items = world.items_at(world.end_ms)
    with _bar("simulated days", days) as done:
        if form is Form.JSONL:
            files[0].write_bytes(b"".join(msgspec.json.encode(item) + b"\n" for item in items))
            with files[1].open("wb") as file:
                for number, day in enumerate(world.history(days), 1):
                    file.write(b"".join(msgspec.json.encode(event) + b"\n" for event in day))
                    done(number)
        else:
            dataset = shop_dataset(world, days, done)
            rows = [{**_columns(item), "tags": "|".join(item.tags)} for item in items]
            pq.write_table(pa.Table.from_pylist(rows), files[0])
            pq.write_table(dataset.events, files[1])
    console.print(f"wrote {files[0]} and {files[1]}")


def _columns(item: SimItem) -> dict[str, object]:
    """Return an item as columns, its attributes among them."""
    fields: dict[str, object] = msgspec.to_builtins(item)
    attributes = fields.pop("attributes", {})
    assert isinstance(attributes, dict)
    return {**fields, **attributes}


def tell(report: DriveReport, out: Console) -> None:
    """Print what a drive found."""
    table = Table("day", "lists", "looked at", "clicks", "purchases", "CTR", title="Visits")
    for day in report.days:
        table.add_row(str(day.day + 1), *(f"{n:,}" for n in (day.lists, day.seen, day.clicks, day.purchases)), f"{day.ctr:.4f}")
    table.add_section()
    seen, clicks = sum(day.seen for day in report.days), sum(day.clicks for day in report.days)
    table.add_row("all", f"{report.lists:,}", f"{seen:,}", f"{clicks:,}", f"{report.purchases:,}", f"{report.ctr:.4f}")
    out.print(table)
    truth = Table(
        "true utility of the lists", "random", "shown", "best possible", "of the way", title="What only the simulator knows"
    )
    for name, utility in (("by lasting taste", report.lasting), ("by what the visit is after", report.session)):
        numbers = (utility.random, utility.shown, utility.ideal)
        truth.add_row(name, *(f"{number:.2f}" for number in numbers), f"{utility.attained:.0%}")
    out.print(truth)
    out.print(
        f"list {report.p50_ms:.1f} ms (p99 {report.p99_ms:.1f}), post of events {report.post_p50_ms:.1f} ms"
        f" (p99 {report.post_p99_ms:.1f}); {report.events:,} events taken, {report.errors} errors,"
        f" {report.retries} retries, {report.short} short lists",
        highlight=False,
    )


@contextmanager
def _bar(text: str, total: int) -> Iterator[Callable[[float], None]]:
    """Yield a function that moves a progress bar to a number of days, whole or not."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(text, total=total)

        def move(done: float) -> None:
            progress.update(task, completed=done)

        yield move
