"""Maintenance beside a running server: archive, erase, expire, snapshot."""

from __future__ import annotations

from nearline.app.tenant import Tenant
from nearline.schema.event import ERASE, TOPICS
from nearline.stores.archive import archive
from nearline.stores.history import iter_records
from nearline.stream.local import LocalStream, expiry


def maintain(tenant: Tenant) -> str:
    """Copy the log to the lake, apply tombstones and retention to it, and save a snapshot; return what was done."""
    log = tenant.log(read_only=True)
    try:
        start = tenant.lake.end("user_events")
        report = archive(log, tenant.lake, tenant.clock)
        gone = {
            record.user_id: record.timestamp
            for _, records in iter_records(log, tenant.lake, "user_events", start)
            for record in records
            if record.event_type == ERASE
        }
        erased = sum(tenant.lake.erase({user}, before) for user, before in gone.items())
        _, keep = expiry(tenant)
        expired = sum(tenant.lake.expire(topic, tenant.clock.now() - keep) for topic in TOPICS)
        stream = LocalStream(tenant)
        stream.restore(log)
        stream.save()
    finally:
        log.close()
    archived = sum(report.records.values())
    return f"archived {archived:,} records, erased {erased:,} rows, expired {expired} files, snapshot at {stream.world.state.offset:,}"
