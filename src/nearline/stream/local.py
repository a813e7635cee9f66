"""The stream in this process: log and lake become online state; after a crash, snapshot and the rest of the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from nearline.app.tenant import Tenant
from nearline.schema.clock import DAY, HOUR
from nearline.schema.declared import is_declaration
from nearline.schema.event import Record
from nearline.schema.ids import keys
from nearline.schema.item import Item
from nearline.stores.catalog import DELETED
from nearline.stores.encode import events_from_records
from nearline.stores.history import history, iter_records
from nearline.stores.log import Log
from nearline.stores.snapshots import SnapshotInfo
from nearline.stores.world import OnlineWorld
from nearline.stream.dedupe import Duplicates


class LocalStream:
    """One tenant's folds, duplicates and catalogue, moved by records in offset order.

    Args:
        tenant: whose.
        world: what is moved; new and empty by default.
    """

    def __init__(self, tenant: Tenant, world: OnlineWorld | None = None) -> None:
        self.tenant, self.world = tenant, world or tenant.world()
        self.duplicates = Duplicates(tenant.settings.state.dedupe_hours * HOUR)

    def apply(self, first_offset: int, records: Sequence[Record]) -> None:
        """Fold records of `user_events`."""
        self.world.apply(events_from_records(records, first_offset, self.tenant.kinds))

    def apply_items(self, first_offset: int, records: Sequence[Record]) -> None:
        """Move catalogue and declarations by records of `item_events`."""
        pending: list[Item] = []
        for record in records:
            if record.event_type == DELETED:
                self.world.catalog.follow(pending)
                pending = []
                self.world.catalog.withdraw(record.item_id)
            elif not is_declaration(record):
                pending.append(msgspec.json.decode(record.context, type=Item))
        if pending:
            self.world.catalog.follow(pending)
        self.world.declared.follow(records)
        self.world.catalog.offset = first_offset + len(records)

    def apply_feedback(self, first_offset: int, records: Sequence[Record]) -> None:
        """Note what impressions showed."""
        self.world.showings.follow(first_offset, records)

    def restore(self, log: Log) -> int:
        """Bring state up to the log's end: newest snapshot, then lake and log; return events replayed."""
        lake = self.tenant.lake
        users, items = (max(log.end(topic), lake.end(topic)) for topic in ("user_events", "item_events"))
        found = self.tenant.snapshots.newest(self.tenant.state_set, users, items)
        if found is not None:
            info, arrays = found
            self.world.state.load(arrays)
            self.world.catalog.sync()
            self.world.catalog.follow(info.items)
            for declaration in info.declared:
                self.world.declared.put(declaration)
            self.world.catalog.offset = info.item_events
            self.duplicates.load(arrays)
            self.world.showings.load(arrays)
        return self.follow(log)

    def follow(self, log: Log) -> int:
        """Fold what lake and log hold beyond the state; return the number of events."""
        tenant, start = self.tenant, self.world.state.offset
        for first, records in iter_records(log, tenant.lake, "item_events", self.world.catalog.offset):
            self.apply_items(first, records)
        for events in history(log, tenant.lake, "user_events", start, kinds=tenant.kinds):
            self.world.apply(events)
        self._follow_feedback(log)
        horizon = tenant.clock.now() - tenant.settings.state.dedupe_hours * HOUR
        known = max(start, log.offset_at("user_events", horizon))
        while True:
            first, records = log.read("user_events", known, 10_000)
            if not records:
                return self.world.state.offset - start
            self.duplicates.add(keys(r.event_id for r in records), records[-1].ingested_at)
            known = first + len(records)

    def _follow_feedback(self, log: Log) -> None:
        """Note what the log's impressions showed, as far back as any rule asks."""
        showings, now = self.world.showings, self.tenant.clock.now()
        since = log.offset_at("feedback", now - max(1, self.tenant.settings.rules.resend_days) * DAY)
        showings.offset = max(showings.offset, since)
        while True:
            first, records = log.read("feedback", showings.offset, 10_000)
            if not records:
                return
            self.apply_feedback(first, records)

    def save(self) -> None:
        """Write a snapshot of this moment."""
        catalog = self.world.catalog
        info = SnapshotInfo(
            self.tenant.state_set,
            self.world.state.offset,
            catalog.offset,
            list(catalog.items.values()),
            self.world.declared.all(),
        )
        arrays: dict[str, Any] = self.world.state.dump() | self.duplicates.dump() | self.world.showings.dump()
        self.tenant.snapshots.save(info, arrays)


def expiry(tenant: Tenant) -> tuple[int, int]:
    """Return retention of log and lake in ms."""
    return tenant.settings.retention.log_days * DAY, tenant.settings.retention.lake_days * DAY
