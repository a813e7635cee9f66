"""`publish`: lists made before they are asked for, delivered to subscribers."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Mapping
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from nearline.app.process_metrics import serve_metrics
from nearline.app.tenant import Tenant
from nearline.cli.options import HERE, AppFile, Config, tenant_of
from nearline.embedded.publishing.active import meaningful, most_active
from nearline.embedded.publishing.again import deliver_again
from nearline.embedded.publishing.metrics import METRICS
from nearline.embedded.publishing.publisher import Publisher
from nearline.schema.errors import NearlineError
from nearline.serving import logs
from nearline.stores import results
from nearline.stores.adapters import schemes, shown
from nearline.stores.subscriber import Subscriber, named, open_subscriber

console = Console(stderr=True)
TIMEOUT = 5.0
"""Seconds that a subscriber may take for one answer."""
TOLD = 10.0
"""Seconds between two lines of what was done."""


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command(help="Make each user's lists as he acts, and deliver them to subscribers. Example: nearline publish")(publish)


def publish(
    app: AppFile = HERE,
    config: Config = None,
    active: Annotated[
        int | None, typer.Option(help="Make lists once, of so many users who did most of late, and end.", min=1)
    ] = None,
    dead: Annotated[bool, typer.Option("--dead", help="Deliver the dead letters again, and end.")] = False,
    to: Annotated[
        list[str] | None, typer.Option(help="A subscriber instead of those of publish.to, such as file:lists.jsonl.")
    ] = None,
    metrics: Annotated[str, typer.Option(help="Where GET /metrics is answered, such as 127.0.0.1:9465.")] = "",
) -> None:
    """Work until Ctrl-C or SIGTERM; exit code 1 where --active or --dead left something undelivered."""
    tenant = tenant_of(app, config)
    logs.configure_logs()
    urls = to or list(tenant.settings.publish.to)
    if not urls:
        remedy = (
            f"say who gets the lists: [publish] to, or --to with one of {', '.join(name + ':' for name in schemes(results))}"
        )
        raise NearlineError("publish.to", "[]", remedy)
    subscribers = opened(tenant, urls)
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    if dead:
        done = deliver_again(tenant, subscribers, ending)
        console.print(f"{done.delivered:,} delivered, {done.dead:,} dead again, {done.others:,} of subscribers not named now")
        raise typer.Exit(1 if done.dead or ending.is_set() else 0)
    _work(tenant, subscribers, active, metrics, ending)


def opened(tenant: Tenant, urls: list[str]) -> Mapping[str, Subscriber]:
    """Return subscribers by name; of those with the same name the second is `name#2`, and so on."""
    out: dict[str, Subscriber] = {}
    for url in urls:
        count = sum(name.partition("#")[0] == named(url) for name in out)
        out[named(url) + (f"#{count + 1}" if count else "")] = open_subscriber(tenant.subscriber_place(url, TIMEOUT))
    return out


def _work(
    tenant: Tenant, subscribers: Mapping[str, Subscriber], active: int | None, metrics: str, ending: threading.Event
) -> None:
    meaningful(tenant)
    log = tenant.log(read_only=True)
    publisher = Publisher(tenant, log, subscribers, ending)
    try:
        if metrics:
            console.print(f"metrics on {serve_metrics(METRICS, publisher, metrics)}")
        names = escape(", ".join(subscribers))
        console.print(f"publishing {escape(shown(tenant.settings.storage.log))} to {names}", soft_wrap=True)
        threading.Thread(target=_tell, args=(publisher,), daemon=True).start()
        if active is None:
            publisher.run()
        else:
            publisher.publish(most_active(tenant, log, active))
    finally:
        publisher.close()
        log.close()
    console.print(_line(publisher), soft_wrap=True)
    if active is not None and (ending.is_set() or any(courier.dead for courier in publisher.couriers)):
        raise typer.Exit(1)


def _tell(publisher: Publisher) -> None:
    before = ""
    while True:
        time.sleep(TOLD)
        if (now := _line(publisher)) != before:
            console.print(now, soft_wrap=True)
        before = now


def _line(publisher: Publisher) -> str:
    lag = f", oldest {publisher.oldest:.1f} s" if publisher.oldest >= 0.1 else ""
    ours = publisher.ledger.partitions
    parts = [f"partitions {ours}: {publisher.ledger.noted:,} events, "] if ours else [""]
    parts[0] += f"{publisher.made:,} lists{lag}"
    parts += [f"{publisher.failed:,} users whose lists can't be made"] if publisher.failed else []
    for one in publisher.couriers:
        told = {"delivered": one.delivered, "retried": one.retried, "dead": one.dead, "waiting": one.waiting}
        parts.append(f"{one.name} " + ", ".join(f"{n:,} {word}" for word, n in told.items() if n or word == "delivered"))
    return escape("; ".join(parts))
