"""`make demo ENGINE=kafka`: the simulated shop on Kafka and Redis, with one server and one stream worker, each a process."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from engines import kafka, valkey
from engines.process import ServerProcess, listens
from engines.way import Watch, told
from nearline.cli.options import tenant_of
from nearline.cli.prepare import PORT, prepared
from nearline.cli.walk import tell, walk
from nearline.embedded.demo import SHOP, Demo, load_demo, save_demo
from nearline.schema.errors import NearlineError
from nearline.serving import logs
from nearline.sim.client import Client
from nearline.stores.user_rows import UserRows

console = Console(stderr=True, highlight=False)
PARTITIONS = 4
PATIENCE = 300.0
"""Seconds that the worker may take for everything that was imported."""


def demo(
    engine: Annotated[str, typer.Argument(help="What the log is on: kafka.")] = "kafka",
    data: Annotated[Path | None, typer.Option(help="Data of your own instead of the simulated shop.")] = None,
    path: Annotated[Path, typer.Option(help="Where everything is kept; the next start resumes from there.")] = Path(
        "demo-data"
    ),
    port: Annotated[int, typer.Option(help="Port to serve on.")] = 8080,
    users: Annotated[int, typer.Option(help="Users of the simulated shop.")] = 1_000,
    items: Annotated[int, typer.Option(help="Items of the simulated shop.")] = 2_000,
    days: Annotated[int, typer.Option(help="Days of the simulated shop's past.")] = 30,
    seed: Annotated[int, typer.Option(help="Another seed, another shop.")] = 0,
    once: Annotated[bool, typer.Option("--once", help="End after the walk-through instead of going on serving.")] = False,
) -> None:
    """Bring everything up, walk the loop once, serve until Ctrl-C, and take everything down."""
    begun = time.monotonic()
    if engine != "kafka":
        raise NearlineError("ENGINE", engine, "there is one: make demo ENGINE=kafka")
    for name, missing in (("Kafka", kafka.available()), ("Redis", valkey.available())):
        if missing:
            raise NearlineError("ENGINE", name, missing)
    size = (users, items, days, seed) if data is None else (0, 0, 0, 0)
    wanted = Demo(SHOP if data is None else str(data.resolve()), size)
    folder = (path / f"kafka-{'shop' if data is None else data.resolve().stem}").resolve()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # SIGINT too: a script's background ignores it
        signal.signal(number, _interrupt)
    logs.configure_logs("warning")
    try:
        with contextlib.ExitStack() as stack:
            _engines(stack, folder, port)
            state = prepared(folder, wanted, data)
            store = tenant_of(folder).user_rows(2.0)
            stack.callback(store.close)
            _fleet(stack, folder, port, store)
            _walk(folder, state, port, store)
            if not once:
                seconds = time.monotonic() - begun
                console.print(
                    f"\n[bold]serving http://127.0.0.1:{port}, {seconds:.0f} s after the start.[/] Ctrl-C stops it all."
                )
                while True:
                    time.sleep(1)  # pause() would sleep through a signal that comes just before it
    except KeyboardInterrupt:
        pass
    console.print(f"everything is down; it is saved in [bold]{folder}[/], and the next start goes on from there")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _engines(stack: contextlib.ExitStack, folder: Path, port: int) -> None:
    """Start Kafka and Redis, and name them in the environment, which all commands read."""
    if listens(port):
        raise NearlineError("PORT", port, "somebody listens there; choose another: make demo ENGINE=kafka PORT=9000")
    if load_demo(folder) is None:
        # What an import left that was broken off: it begins anew, with topics that are empty.
        for left in ("kafka", "valkey", "state"):
            shutil.rmtree(folder / left, ignore_errors=True)
    text = "Kafka" if kafka.libraries().exists() else f"Kafka, which is fetched by Maven (version {kafka.VERSION}, once)"
    with _step(text):
        broker = kafka.Kafka(folder / "kafka")
        _up(stack, broker)
    with _step("Redis (Valkey)"):
        redis = valkey.Valkey(folder / "valkey")
        _up(stack, redis)
    os.environ.update(
        NEARLINE_STORAGE_LOG=broker.url,
        NEARLINE_STORAGE_PARTITIONS=str(PARTITIONS),
        NEARLINE_STORAGE_STATE=redis.url,
    )
    os.environ[PORT] = str(port)
    console.print(f"  log {broker.url}, {PARTITIONS} partitions; rows of visitors {redis.url}", style="dim")


def _fleet(stack: contextlib.ExitStack, folder: Path, port: int, store: UserRows) -> None:
    """Start a stream worker, wait until rows are as far as the log, and start a server."""
    command = [sys.executable, "-m", "nearline.cli"]
    (folder / "stream.log").unlink(missing_ok=True)  # of an earlier start
    with _step("the stream worker: nearline stream"):
        _up(stack, ServerProcess([*command, "stream", "--app", str(folder)], folder, "stream", lambda: _streams(folder)))
    log = tenant_of(folder).log(read_only=True)
    try:
        ends = [log.partition(number).end("user_events") for number in range(PARTITIONS)]
    finally:
        log.close()
    with _step(f"the worker folds {sum(ends):,} events of {PARTITIONS} partitions into rows"):
        until = time.monotonic() + PATIENCE
        while store.read([], range(PARTITIONS))[1] < ends:
            if time.monotonic() > until:
                raise NearlineError("stream", "behind", f"it did not keep up; {folder / 'stream.log'} says more")
            time.sleep(0.1)
    with _step("the server: nearline serve"), contextlib.closing(Client(f"http://127.0.0.1:{port}", {}, tries=1)) as client:
        _up(
            stack,
            ServerProcess([*command, "serve", "--app", str(folder)], folder, "serve", lambda: client.get("/readyz").ok),
        )


def _streams(folder: Path) -> bool:
    return "streaming " in (folder / "stream.log").read_text(errors="replace")


def _up(stack: contextlib.ExitStack, server: ServerProcess) -> None:
    stack.callback(_down, server)
    server.start()


def _down(server: ServerProcess) -> None:
    with console.status(f"stopping {server.name}"):
        server.stop()
    console.print(f"stopped {server.name}", style="dim")


@contextlib.contextmanager
def _step(text: str) -> Iterator[None]:
    """Say what is under way, and how long it took."""
    begun = time.monotonic()
    with console.status(f"starting {text}" if not text.startswith("the worker folds") else text):
        yield
    console.print(f"  {text}: {time.monotonic() - begun:.1f} s")


def _walk(folder: Path, state: Demo, port: int, store: UserRows) -> None:
    at, url = state.runs % len(state.users), f"http://127.0.0.1:{port}"
    state.runs += 1
    tenant = tenant_of(folder)
    log = tenant.log(read_only=True)
    try:
        with Watch(log, store) as watch:
            found = walk(url, [*state.users[at:], *state.users[:at]])
            watch.until(found)
        save_demo(folder, state)
        tell(found, url, console)
        told(found, watch, tenant, console)
    finally:
        log.close()


def main() -> None:
    """Run it; a mistake that the user can mend is one line."""
    cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    cli.command()(demo)
    try:
        cli()
    except NearlineError as error:
        console.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(2)
    except RuntimeError as error:
        console.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(3)


if __name__ == "__main__":
    main()
