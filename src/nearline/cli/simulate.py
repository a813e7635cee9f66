"""`simulate`: shoppers that do not exist in front of a server that does, or their events as files."""

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

from nearline.embedded.demo import shop_dataset
from nearline.schema.errors import NearlineError
from nearline.sim.client import Client
from nearline.sim.driver import drive
from nearline.sim.report import DriveReport
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


def register(cli: typer.Typer) -> None:
    """Add the command."""
    text = "Let simulated shoppers visit a server. Example: nearline simulate --days 2 --against http://127.0.0.1:8080"
    cli.command(help=text)(simulate)


def simulate(
    against: Annotated[str, typer.Option(help="URL of the server that they visit.")] = "",
    out: Annotated[Path | None, typer.Option(help="Instead: folder for a past without recommendations, as files.")] = None,
    form: Annotated[Form, typer.Option("--format", help="Form of these files.")] = Form.PARQUET,
    days: Annotated[int, typer.Option(min=1, help="Simulated days.")] = 1,
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
    if bool(against) == (out is not None):
        raise NearlineError("--against", against, "give the URL of a server, or --out FOLDER for files; one of them")
    world = ShopWorld(seed, users, items)
    if out is not None:
        write(world, days, out, form)
        return
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    _register_items(world, against, headers)
    with _bar("simulated days", days) as advance:
        report = drive(
            against, world, days, timestamps=timestamps.value, rate=rate, headers=headers, progress=advance,
            run=int(time.time()) if run is None else run,
        )  # fmt: skip
    tell(report, Console())


def _register_items(world: ShopWorld, against: str, headers: dict[str, str]) -> None:
    """Give the server the shop's items where it does not know the first and the last of them."""
    client = Client(against, headers)
    try:
        ends = (world.items[0].item_id, world.items[-1].item_id)
        answers = [client.get(f"/v1/items/{quote(item_id)}/similar?limit=1") for item_id in ends]
        if not all(answer.status for answer in answers):
            raise NearlineError("--against", against, "start the server, or check the URL: nothing answers there")
        if all(answer.ok for answer in answers):
            return
        for begin in range(0, len(world.items), BATCH):
            answer = client.post("/v1/items", msgspec.json.encode(world.items[begin : begin + BATCH]))
            if not answer.ok:
                raise NearlineError("/v1/items", answer.status, f"the server said: {answer.body.decode()[:300]}")
        console.print(f"the server got {len(world.items):,} items")
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
    with _bar("simulated days", days) as done:
        if form is Form.JSONL:
            files[0].write_bytes(b"".join(msgspec.json.encode(item) + b"\n" for item in world.items))
            with files[1].open("wb") as file:
                for number, day in enumerate(world.history(days), 1):
                    file.write(b"".join(msgspec.json.encode(event) + b"\n" for event in day))
                    done(number)
        else:
            dataset = shop_dataset(world, days, done)
            rows = [{**msgspec.to_builtins(item), "tags": "|".join(item.tags)} for item in world.items]
            pq.write_table(pa.Table.from_pylist(rows), files[0])
            pq.write_table(dataset.events, files[1])
    console.print(f"wrote {files[0]} and {files[1]}")


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
