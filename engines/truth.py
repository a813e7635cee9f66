"""What a deployment should have come to: the rows of one who reads its log alone."""

from __future__ import annotations

import time
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from engines.deployment import Deployment
from nearline.app.tenant import Tenant
from nearline.features.presence import PRESENCE
from nearline.schema.event import Record
from nearline.stores.encode import belonging, events_from_records, ids_of
from nearline.stores.log import Log
from nearline.stores.user_rows import UserRow

HEAD = PRESENCE.itemsize


@dataclass(frozen=True, slots=True)
class Compared:
    """What a deployment has, against what it should have.

    Attributes:
        behind: partitions whose rows have not come to the end of the log.
        lost: ids that were acknowledged and are not in the log.
        rows: that were compared.
        differing: visitors whose row in the store is not that of one reader of the log.
    """

    behind: list[int]
    lost: set[str]
    rows: int
    differing: list[int]


def compared(shop: Deployment, acknowledged: AbstractSet[str], within: float = 120.0) -> Compared:
    """Wait until the rows have come to the log's end, `within` seconds, then compare all of them."""
    tenant = shop.tenant()
    log, store = tenant.log(read_only=True), tenant.user_rows(10.0)
    try:
        ends = [log.partition(number).end("user_events") for number in range(log.partitions)]
        until = time.monotonic() + within
        while (done := store.read([], range(log.partitions))[1]) != ends and time.monotonic() < until:
            time.sleep(0.1)
        records = held(log)
        wanted = expected(tenant, records)
        found = {row.visitor: row for row in store.read(list(wanted))[0]}
        there = {record.event_id for part in records for record in part}
        differing = [visitor for visitor, row in wanted.items() if found[visitor] != row]
        behind = [number for number, end in enumerate(ends) if done[number] < end]
        return Compared(behind, set(acknowledged - there), len(wanted), differing)
    finally:
        log.close()
        store.close()


def held(log: Log) -> list[list[Record]]:
    """Return everything in `user_events`, by partition."""
    out: list[list[Record]] = []
    for number in range(log.partitions):
        part, records, at = log.partition(number), [], 0
        while True:
            first, some = part.read("user_events", at, 10_000)
            if not some:
                break
            records += some
            at = first + len(some)
        out.append(records)
    return out


def expected(tenant: Tenant, partitions: list[list[Record]]) -> dict[int, UserRow]:
    """Return the rows of one who reads each partition alone and takes each id once, by visitor."""
    out: dict[int, UserRow] = {}
    for number, records in enumerate(partitions):
        events, (ids, _) = events_from_records(records, 0, tenant.kinds), ids_of(records)
        first = np.zeros(len(ids), np.bool_)
        first[np.unique(ids, return_index=True)[1]] = True
        events = events[belonging(events, number, len(partitions)) & (first | (ids == 0))]
        state = tenant.user_state()
        state.apply(events)
        visitors = np.unique(events["user"])
        hot, history = state.pull(state.users.find(visitors))
        for place, visitor in enumerate(visitors.tolist()):
            packed = hot[place].tobytes()
            out[visitor] = UserRow(visitor, packed, packed[:HEAD] + history[place].tobytes())
    return out
