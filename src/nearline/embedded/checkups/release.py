"""The release in service: whether there is one, of this application, and how old it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nearline.schema.clock import DAY, HOUR
from nearline.schema.errors import NearlineError
from nearline.stores.finding import Finding

if TYPE_CHECKING:
    from nearline.embedded.doctor import System

ENOUGH = 1_000
"""Events from which there is something to train on."""


def look(system: System) -> Iterator[Finding]:
    """Yield what is in service."""
    tenant, events = system.tenant, system.log.events if system.log else 0
    version = tenant.releases.current()
    remedy = "run nearline train, and again by a schedule: [train] every, or cron"
    if not version:
        if events < ENOUGH:
            yield Finding("ok", "release", "none, and little to train on")
        else:
            yield Finding("warning", "release", "none", "only sources that need no training serve, without a ranker", remedy)
        return
    try:
        manifest = tenant.releases.manifest(version)
    except (NearlineError, OSError) as error:
        why = "the server can't load it, and serves without a ranker"
        yield Finding("wrong", "release", f"{version}: {error}", why, "nearline rollback takes the one before")
        return
    if manifest.feature_set != tenant.feature_set:
        why = "the application's features changed since; the server serves without it"
        yield Finding("wrong", "release", f"{version} is of another feature set", why, remedy)
        return
    age = tenant.clock.now() - manifest.created_at
    every = tenant.settings.train.every_ms
    told = f"{version}, {age / HOUR:,.0f} h old" if age < 4 * DAY else f"{version}, {age / DAY:,.0f} days old"
    if age > (2 * every if every else 7 * DAY):
        why = "new items and tastes are known to the streamed sources alone"
        yield Finding("warning", "release", told, why, remedy)
    else:
        yield Finding("ok", "release", told)
