"""The log and the lake behind it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nearline.app.tenant import IMPORTING
from nearline.schema.clock import DAY, HOUR, MINUTE
from nearline.stores.adapters import scheme_of, shown
from nearline.stores.diagnoses import diagnose
from nearline.stores.finding import Finding

if TYPE_CHECKING:
    from nearline.embedded.doctor import LogSeen, System

SKEW = 5_000
"""ms that a record's time may be ahead."""
BEHIND = 100_000
"""Records that may wait for the lake where nobody archives regularly."""


def look(system: System) -> Iterator[Finding]:
    """Yield how much there is, what waits for the lake, and whether the times are right."""
    tenant, log = system.tenant, system.log
    settings = tenant.settings
    if (tenant.folder / IMPORTING).exists():
        yield Finding("wrong", "import", "broken off", "the server does not start on half of it", "run it again; it goes on")
    yield from diagnose(tenant.log_place(read_only=True))
    if log is None:
        return
    shared = scheme_of(settings.storage.log) != "sqlite"
    name = shown(settings.storage.log) if shared else str(tenant.folder)
    yield Finding("ok", "log", f"{name}: {log.events:,} events, {log.rate:,.1f}/s lately")
    if log.archived:
        yield from _archive(system, log)
    if log.ahead_ms > SKEW:
        why = "a server's clock is ahead: what it writes counts as newer than what follows"
        yield Finding("warning", "clock", f"{log.ahead_ms / 1e3:,.0f} s ahead of here", why, "keep all machines' time by NTP")


def _archive(system: System, log: LogSeen) -> Iterator[Finding]:
    """Yield what waits for the lake."""
    settings = system.tenant.settings
    behind = {at: end - log.archived[at] for at, end in log.ends.items()}
    waits = sum(behind.values())
    remedy = "see the server's log for why maintain fails, or run nearline maintain by a schedule"
    gone = [f"{topic} {n}" for (topic, n), start in log.starts.items() if start > log.archived[topic, n]]
    if gone:
        why = "the log dropped records that the lake does not hold: training and replay miss them"
        yield Finding(
            "wrong", "archive", f"a gap in {', '.join(gone[:5])}", why, "restore the lake from a backup; then " + remedy
        )
    elif scheme_of(settings.storage.log) == "kafka" and log.waiting_ms > settings.retention.log_days * DAY / 2:
        why = f"the broker drops them after {settings.retention.log_days} days (retention.log_days), archived or not"
        yield Finding("wrong", "archive", f"{waits:,} records wait, the oldest {log.waiting_ms / HOUR:,.0f} h", why, remedy)
    elif waits > BEHIND and log.waiting_ms > 6 * settings.state.snapshot_every_minutes * MINUTE:
        why = "a start replays all of them, and the log can't be trimmed"
        yield Finding("warning", "archive", f"{waits:,} records wait, the oldest {log.waiting_ms / HOUR:,.1f} h", why, remedy)
    else:
        yield Finding("ok", "archive", f"{waits:,} records wait")
