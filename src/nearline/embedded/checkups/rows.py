"""Visitors' rows in a store of their own, and the stream that moves them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.stores.adapters import shown
from nearline.stores.diagnoses import diagnose
from nearline.stores.finding import Finding

if TYPE_CHECKING:
    from nearline.embedded.doctor import System

LAG = 10_000
"""Events that rows may be behind the log."""
PATIENCE = 3.0
"""Seconds that the store may take for an answer."""


def look(system: System) -> Iterator[Finding]:
    """Yield what the store says of itself, and how far the stream is."""
    if not system.rows_apart:
        return
    tenant = system.tenant
    place = tenant.rows_place(PATIENCE)
    found = list(diagnose(place))
    yield from found
    if system.log is None or any(finding.level == "wrong" and "answer" in finding.value for finding in found):
        return
    try:
        store = tenant.user_rows(PATIENCE)
        try:
            done = store.read([], range(tenant.settings.storage.partitions))[1]
        finally:
            store.close()
    except (StoreUnavailableError, NearlineError) as error:
        why, remedy = "visitors are served as if they were new", "start the store, or name another: [storage] state"
        yield Finding("wrong", "rows of visitors", str(error), why, remedy)
        return
    ends = [system.log.ends["user_events", n] for n in range(len(done))]
    lags = [end - at for end, at in zip(ends, done, strict=True)]
    if min(lags) < 0:
        why = "the rows are of another log: offsets do not mean the same, and new events are taken for old ones"
        remedy = "name the log that the rows were made from, or empty the store and let nearline stream begin anew"
        yield Finding("wrong", "stream", f"ahead of the log by {-min(lags):,}", why, remedy)
    elif sum(lags) > LAG:
        stuck = ", ".join(f"{n}: {lag:,}" for n, lag in enumerate(lags) if lag)
        why, remedy = "lists don't see the newest clicks", "start nearline stream, or more of them, up to one a partition"
        yield Finding("wrong", "stream", f"{sum(lags):,} events behind (by partition {stuck})", why, remedy)
    else:
        yield Finding("ok", "stream", f"{sum(lags):,} events behind; rows in {shown(place.url)}")
