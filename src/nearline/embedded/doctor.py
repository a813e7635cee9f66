"""What `nearline doctor` looks at: a tenant as it lies there, its engines, and its server where one answers."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module

from nearline.app.tenant import MEMORY, Tenant
from nearline.embedded import checkups
from nearline.schema.clock import HOUR, MINUTE, WallClock
from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.serving.scraped import Scraped
from nearline.stores.archive import archived_ends, places
from nearline.stores.finding import Finding
from nearline.stores.log import Log, Position

ORDER = ("wrong", "warning", "grow", "ok")


@dataclass(frozen=True, slots=True)
class LogSeen:
    """A log as it was read.

    Attributes:
        starts, ends, archived: offsets by topic and partition; `archived` is where the lake ends, empty where it does not say.
        waiting_ms: how long the oldest record that is not in the lake has waited, ms.
        ahead_ms: how far the newest record's time is ahead of this machine's, ms; negative where it is not.
        rate: events per second, over the last hour or the last minute, whichever is more.
    """

    starts: dict[Position, int]
    ends: dict[Position, int]
    archived: dict[Position, int]
    waiting_ms: int
    ahead_ms: int
    rate: float

    @property
    def events(self) -> int:
        """Events that there ever were."""
        return sum(end for (topic, _), end in self.ends.items() if topic == "user_events")


@dataclass(slots=True)
class System:
    """What the checkups look at.

    Attributes:
        tenant: whose.
        server: what `/metrics` says; `None` where no server answers.
        log: as it was read; `None` where it could not be.
        now: ms UTC, by the clock that the log's records are stamped by.
        lake_away: why the lake does not answer; "" where it does.
        failed: what could not be looked at.
    """

    tenant: Tenant
    server: Scraped | None
    log: LogSeen | None = None
    now: int = 0
    lake_away: str = ""
    failed: list[Finding] = field(default_factory=list)

    @property
    def rows_apart(self) -> bool:
        """Whether visitors' rows are in a store of their own."""
        return self.tenant.settings.storage.state != MEMORY


def examine(tenant: Tenant, server: Scraped | None) -> list[Finding]:
    """Look at everything; what is wrong comes first. Nothing is written.

    Args:
        tenant: whose.
        server: what a running server says of itself.
    """
    system = System(tenant, server)
    try:
        system.log = _log(system)
    except NearlineError as error:
        what = f"{error.field} {error.value}"
        system.failed.append(Finding("wrong", "log", what, "nothing can be stored or followed", error.remedy))
    except StoreUnavailableError as error:
        remedy = "start it, or let this machine reach it"
        system.failed.append(Finding("wrong", "log", str(error), "nothing can be stored or followed", remedy))
    found = [*system.failed, *(finding for one in _checkups() for finding in one(system))]
    return sorted(found, key=lambda finding: ORDER.index(finding.level))


def _checkups() -> Iterator[checkups.Checkup]:
    for module in pkgutil.iter_modules(checkups.__path__):
        yield import_module(f"{checkups.__name__}.{module.name}").look


def _log(system: System) -> LogSeen:
    tenant = system.tenant
    log = tenant.log(read_only=True)
    try:
        system.now = now = WallClock().now() if log.shared else tenant.clock.now()
        at = places(log)
        ends = {(topic, n): log.partition(n).end(topic) for topic, n in at}
        archived = _archived(system, log)
        waiting, newest, recent = 0, 0, {HOUR: 0, MINUTE: 0}
        for (topic, n), end in ends.items():
            if topic != "user_events":
                continue
            part = log.partition(n)
            done = archived.get((topic, n), end)
            first = part.read(topic, done, 1)[1] if end > done else []
            last = part.read(topic, end - 1, 1)[1] if end > part.start(topic) else []
            waiting = max([waiting, *(now - record.ingested_at for record in first)])
            newest = max([newest, *(record.ingested_at for record in last)])
            for span in recent:
                recent[span] += max(0, end - part.offset_at(topic, now - span))
        starts = {(topic, n): log.partition(n).start(topic) for topic, n in at}
        rate = max(events / (span / 1e3) for span, events in recent.items())
        return LogSeen(starts, ends, archived, waiting, newest - now if newest else 0, rate)
    finally:
        log.close()


def _archived(system: System, log: Log) -> dict[Position, int]:
    try:
        return archived_ends(log, system.tenant.lake)
    except StoreUnavailableError as error:
        system.lake_away = str(error)
        return {}
