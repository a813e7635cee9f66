"""Maintenance beside a running server: archive, erase, expire, snapshot."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from nearline.app.tenant import Tenant
from nearline.embedded.claim import claim
from nearline.schema.event import ERASE, TOPICS
from nearline.stores.adapters import scheme_of
from nearline.stores.archive import archive, archived_ends, trim_archived
from nearline.stores.lake import Lake
from nearline.stream.local import LocalStream, expiry


def erase(tenant: Tenant) -> int:
    """Remove from the lake what tombstones name; return how many rows.

    A file says up to where tombstones were applied, so that a run that was killed is made up for. Each is applied in
    two runs: a list that was being made at the time may have reached the log behind it.
    """
    return sum(
        _erase(tenant.lake.partition(n), tenant.folder / ("erased" if n == 0 else f"erased-{n}")) for n in _numbers(tenant)
    )


def _numbers(tenant: Tenant) -> range:
    return range(tenant.settings.storage.partitions)


def _erase(lake: Lake, path: Path) -> int:
    """Do so in one partition; a visitor's tombstone is in that of his events."""
    start, done = (int(text) for text in path.read_text().split()) if path.exists() else (0, 0)
    gone: dict[str, int] = {}
    for table in lake.scan("user_events", start, columns=("event_type", "user_id", "timestamp")):
        found = table.filter(pc.equal(table["event_type"].cast(pa.string()), ERASE))
        gone |= dict(zip(found["user_id"].to_pylist(), found["timestamp"].to_pylist(), strict=True))
    end = max(done, lake.end("user_events"))
    erased = sum(lake.erase({user}, at + 1) for user, at in gone.items())
    draft = path.with_suffix(".tmp")
    draft.write_text(f"{done} {end}\n")
    draft.replace(path)
    return erased


def maintain(tenant: Tenant) -> str:
    """Copy the log to the lake, apply tombstones and retention to it, and save a snapshot; return what was done."""
    log = tenant.log(read_only=scheme_of(tenant.settings.storage.log) == "sqlite")
    try:
        claim(tenant)
        report = archive(log, tenant.lake, tenant.clock)
        erased = erase(tenant)
        keep_log, keep = expiry(tenant)
        if log.shared:
            # No server is its one writer, so nobody else trims it.
            trim_archived(log, archived_ends(log, tenant.lake), tenant.clock, keep_log)
        before = tenant.clock.now() - keep
        expired = sum(tenant.lake.partition(n).expire(topic, before) for n in _numbers(tenant) for topic in TOPICS)
        stream = LocalStream(tenant)
        stream.restore(log)
        stream.save()
    finally:
        log.close()
    archived = sum(report.records.values())
    done = f"archived {archived:,} records, erased {erased:,} rows, expired {expired} files"
    return f"{done}, snapshot at {stream.world.state.offset:,}"
