"""Growth: where the system stands on the ladder, and the next step once a number says so (docs/how-to/grow.md)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nearline.stores.adapters import scheme_of
from nearline.stores.finding import Finding

if TYPE_CHECKING:
    from nearline.embedded.doctor import System

LISTS = "/v1/recommendations"
ENOUGH = 100
"""Lists from which their p99 says something."""


@dataclass(frozen=True, slots=True)
class Size:
    """The numbers that decide. `p99_ms` is 0 where too few lists were asked for, `visitors` where no server says."""

    events: int = 0
    items: int = 0
    visitors: int = 0
    rate: float = 0.0
    p99_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the ladder, with the numbers from which it is worth taking."""

    stage: int
    name: str
    remedy: str
    why: str
    events: float = float("inf")
    items: float = float("inf")
    visitors: float = float("inf")
    rate: float = float("inf")
    p99_ms: float = float("inf")

    def passed(self, size: Size) -> list[str]:
        """Return which numbers are reached, in words."""
        numbers = {
            "events": (size.events, self.events),
            "items": (size.items, self.items),
            "visitors": (size.visitors, self.visitors),
            "events/s": (size.rate, self.rate),
            "ms at the lists' p99": (size.p99_ms, self.p99_ms),
        }
        return [f"{at:,.0f} {name} (from {limit:,.0f} on)" for name, (at, limit) in numbers.items() if at >= limit]


WHERE = "docs/how-to/grow.md has the lines and commands"
STEPS = (
    Step(
        1, "log and rows in SQL", f"PostgreSQL: a second server, backups by the database's means; {WHERE}",
        "one file and one process hold everything: a start replays longer, and nothing stands in while it is down",
        events=1e6, p99_ms=200,
    ),
    Step(
        2, "rows in Redis, training by night",
        f"rows of visitors in Redis, moved by nearline stream, and nearline train by cron on a machine of its own; {WHERE}",
        "rows and training take memory and processor from the lists", items=1e5, rate=5e3,
    ),
    Step(
        3, "Kafka, and an approximate index",
        f"the log on Kafka, several servers and stream workers; {WHERE}",
        "one writer limits events, and one process holds all vectors", items=1e6,
    ),
    Step(
        4, "Flink and Spark", f"folding by Flink, training by Spark, on clusters; {WHERE}",
        "one machine can't train on so many visitors overnight", visitors=1e8,
    ),
)  # fmt: skip


def stage_of(log: str, state: str) -> int:
    """Return the stage that settings are at, by the URLs of log and rows."""
    if scheme_of(log) == "kafka":
        return 3
    if scheme_of(state) == "redis":
        return 2
    return 0 if scheme_of(log) == "sqlite" else 1


def next_step(stage: int, size: Size) -> tuple[Step, list[str]] | None:
    """Return the highest step that numbers ask for and that is not taken, with those numbers."""
    due = [(step, step.passed(size)) for step in STEPS if step.stage > stage and step.passed(size)]
    return due[-1] if due else None


def look(system: System) -> Iterator[Finding]:
    """Yield the stage, and the next step where it is time."""
    storage, size = system.tenant.settings.storage, size_of(system)
    stage = stage_of(storage.log, storage.state)
    told = f"{size.events:,} events, {size.items:,} items, {size.rate:,.1f} events/s"
    told += f", {size.visitors:,} visitors" if size.visitors else ""
    told += f", lists' p99 {size.p99_ms:,.0f} ms" if size.p99_ms else ""
    yield Finding("ok", f"stage {stage}", told)
    if due := next_step(stage, size):
        step, numbers = due
        yield Finding("grow", f"next: stage {step.stage}, {step.name}", "; ".join(numbers), step.why, step.remedy)


def size_of(system: System) -> Size:
    """Return the numbers: from the server where one answers, else from what is stored."""
    tenant, log, server = system.tenant, system.log, system.server
    events, rate = (log.events, log.rate) if log else (0, 0.0)
    if server is not None:
        p99, lists = server.quantile("nearline_request_seconds", LISTS, 0.99)
        items = int(server.value("nearline_catalog_items"))
        visitors = int(server.value("nearline_visitors"))
        return Size(events, items, visitors, rate, 1e3 * p99 if lists >= ENOUGH else 0.0)
    version = tenant.releases.current()
    known = tenant.releases.manifest(version).items if version else 0
    # Without a server or a release: each item was put at least once.
    return Size(events, known or (log.ends["item_events", 0] if log else 0), 0, rate)
