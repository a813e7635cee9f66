"""The stream in this process: log and lake become online state; after a crash, snapshot and the rest of the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from nearline.app.tenant import Tenant
from nearline.schema.clock import DAY, HOUR
from nearline.schema.declared import is_declaration
from nearline.schema.event import POISON, Events, Record, Topic
from nearline.schema.ids import keys
from nearline.schema.item import Item
from nearline.stores.archive import places
from nearline.stores.catalog import DELETED, item_of
from nearline.stores.dedupe import Duplicates
from nearline.stores.encode import IDENTIFIED_COLUMNS, belonging, events_from_records, events_from_table, ids_of
from nearline.stores.history import history, iter_records, pieces
from nearline.stores.items import loaded
from nearline.stores.log import Log, Page, Position
from nearline.stores.snapshots import SnapshotInfo
from nearline.stores.world import OnlineWorld

ITEMS = "catalogue"
"""What the array of registered items is called in a snapshot."""


class LocalStream:
    """One tenant's folds, duplicates and catalogue, moved by records in offset order.

    Args:
        tenant: whose.
        world: what is moved; new and empty by default.
    """

    def __init__(self, tenant: Tenant, world: OnlineWorld | None = None) -> None:
        self.partitions = tenant.settings.storage.partitions
        self.tenant, self.world = tenant, world or tenant.online_world()
        self.by_partition = [Duplicates(tenant.settings.state.dedupe_hours * HOUR) for _ in range(self.partitions)]
        self.dropped = self.poison = 0

    @property
    def duplicates(self) -> Duplicates:
        """The ids of a log that is not divided."""
        return self.by_partition[0]

    def take(self, page: Page) -> None:
        """Move by a page of a shared log; a page that is in already changes nothing."""
        if page.topic == "user_events":
            new = max(0, int(self.world.state.offsets[page.partition]) - page.first)
            records = page.records[new:]
            self._identified(events_from_records(records, page.first + new, self.tenant.kinds), records, page.partition)
        elif page.topic == "item_events":
            new = max(0, self.world.catalog.offset - page.first)
            self.apply_items(page.first + new, page.records[new:])
        else:
            self.poison += sum(record.event_type == POISON for record in page.records)
            self.world.showings.follow(page.first, page.records, page.partition)

    def _identified(self, events: Events, piece: pa.Table | Sequence[Record], partition: int) -> None:
        """Fold events of a shared log, leaving out those that it holds twice, and what is no event of this partition."""
        if not len(events):
            return
        new, own = self.by_partition[partition].taken(*ids_of(piece)), belonging(events, partition, self.partitions)
        self.dropped += len(new) - int(new.sum())
        self.poison += len(own) - int(own.sum())
        new &= own
        self.world.apply(events if new.all() else events[new])
        self.world.state.reached(partition, int(events["offset"][-1]) + 1)

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
            elif (item := item_of(record)) is not None:
                pending.append(item)
            else:
                self.poison += not is_declaration(record)
        if pending:
            self.world.catalog.follow(pending)
        self.world.declared.follow(records)
        self.world.catalog.offset = first_offset + len(records)

    def apply_feedback(self, first_offset: int, records: Sequence[Record]) -> None:
        """Note what impressions showed."""
        self.world.showings.follow(first_offset, records)

    def restore(self, log: Log) -> int:
        """Bring state up to the log's end: newest snapshot, then lake and log; return events replayed."""
        users, items = (self._end(log, topic) for topic in ("user_events", "item_events"))
        found = self.tenant.snapshots.newest(self.tenant.state_set, users, items)
        if found is not None:
            info, arrays = found
            self.world.state.load(arrays)
            self.world.catalog.sync()
            for page in loaded(arrays[ITEMS]):
                self.world.catalog.follow(page)
            for declaration in info.declared:
                self.world.declared.put(declaration)
            self.world.catalog.offset = info.item_events
            for number, duplicates in enumerate(self.by_partition):
                duplicates.load(arrays, _name(number))
            self.world.showings.load(arrays)
        return self.follow(log)

    def _end(self, log: Log, topic: Topic) -> int:
        """Return where lake and log end, the sum of their partitions; no network is asked for it."""
        lake, numbers = self.tenant.lake, [number for at, number in places(log) if at == topic]
        return sum(max(log.partition(number).end(topic), lake.partition(number).seen_end(topic)) for number in numbers)

    def follow(self, log: Log) -> int:
        """Fold what lake and log hold beyond the state; return the number of events."""
        tenant, start = self.tenant, self.world.state.offset
        if log.shared:
            return self._follow_shared(log)
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

    def _follow_shared(self, log: Log) -> int:
        """Fold what lake and log hold beyond the state, without what a shared log holds twice."""
        tenant, state, before = self.tenant, self.world.state, self.world.state.offset
        for first, records in iter_records(log, tenant.lake, "item_events", self.world.catalog.offset):
            self.apply_items(first, records)
        for number in range(log.partitions):
            part, lake, start = log.partition(number), tenant.lake.partition(number), int(state.offsets[number])
            for piece in pieces(part, lake, "user_events", start, IDENTIFIED_COLUMNS):
                if isinstance(piece, tuple):
                    self.take(Page("user_events", number, *piece))
                else:
                    self._identified(events_from_table(piece, tenant.kinds), piece, number)
        self._follow_feedback(log)
        return state.offset - before

    def _follow_feedback(self, log: Log) -> None:
        """Note what the log's impressions showed, as far back as any rule asks."""
        showings, now = self.world.showings, self.tenant.clock.now()
        for number in range(log.partitions):
            part = log.partition(number)
            since = part.offset_at("feedback", now - max(1, self.tenant.settings.rules.resend_days) * DAY)
            showings.offsets[number] = max(showings.offsets[number], since)
            while True:
                first, records = part.read("feedback", showings.offsets[number], 10_000)
                if not records:
                    break
                showings.follow(first, records, number)

    def positions(self, log: Log) -> dict[Position, int]:
        """Return up to which offsets the state is, for `Log.tail`."""
        done: dict[Topic, Sequence[int]] = {
            "user_events": self.world.state.offsets.tolist(),
            "item_events": [self.world.catalog.offset],
            "feedback": self.world.showings.offsets,
        }
        return {(topic, number): done[topic][number] for topic, number in places(log)}

    def save(self) -> None:
        """Write a snapshot of this moment."""
        catalog = self.world.catalog
        info = SnapshotInfo(
            self.tenant.state_set,
            self.world.state.offset,
            catalog.offset,
            len(catalog),
            self.world.declared.all(),
        )
        arrays: dict[str, Any] = {ITEMS: catalog.items.dump(), **self.world.state.dump(), **self.world.showings.dump()}
        for number, duplicates in enumerate(self.by_partition):
            arrays |= duplicates.dump(_name(number))
        self.tenant.snapshots.save(info, arrays)


def _name(partition: int) -> str:
    """Return what a partition's ids are called in a snapshot."""
    return f"duplicates-{partition}" if partition else "duplicates"


def expiry(tenant: Tenant) -> tuple[int, int]:
    """Return retention of log and lake in ms."""
    return tenant.settings.retention.log_days * DAY, tenant.settings.retention.lake_days * DAY
