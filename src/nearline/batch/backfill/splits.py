"""Splits: the lake cut into pieces that are read beside each other, each dropping the duplicates that one reader would drop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from nearline.app.tenant import Tenant
from nearline.schema.clock import DAY
from nearline.schema.errors import NearlineError
from nearline.schema.event import ERASE, Events, Topic
from nearline.stores.dedupe import WIDTH, Duplicates
from nearline.stores.encode import EVENT_COLUMNS, IDENTIFIED_COLUMNS, belonging, events_from_table, ids_of
from nearline.stores.lake import Lake, LakeFile

TOPIC: Topic = "user_events"
ROWS = 1_000_000
"""Rows of a split, as far as whole files go."""
DAYS = 8
"""Days of a split where duplicates are dropped, since each reads the ids of the days before it once more."""


@dataclass(frozen=True, slots=True)
class Split:
    """Offsets `start`..`end` of one partition.

    Attributes:
        partition: its number.
        start, end: offsets.
        ids_from: offset from which ids must be known to tell duplicates; `start` where the log holds none.
    """

    partition: int
    start: int
    end: int
    ids_from: int


def cut(lake: Lake, ms: int) -> int:
    """Return the offset of a partition's first event ingested at `ms` UTC or later, else its end."""
    for file in lake.files(TOPIC):
        # A date's files hold nothing of a later date; the time never goes back from date to date.
        if file.day < ms // DAY:
            continue
        if file.day > ms // DAY:
            return file.first
        for table in lake.scan(TOPIC, file.first, file.last + 1, ("offset", "ingested_at")):
            late = table["ingested_at"].to_numpy() >= ms
            if late.any():
                return int(table["offset"][int(late.argmax())].as_py())
    return lake.end(TOPIC)


def splits(lake: Lake, start: int, end: int, horizon: int) -> list[Split]:
    """Return the splits of a partition's offsets `start`..`end`, in order.

    Args:
        horizon: ms within which an id counts once; 0 where the log holds nothing twice.

    Raises:
        NearlineError: offsets are missing from `start` on (0 means: from the first one kept).
    """
    files = [file for file in lake.files(TOPIC) if file.first < end]
    groups: list[list[LakeFile]] = []
    for file in files:
        if file.last < start:
            continue
        if not groups and start and file.first > start:
            raise _gap(start, file.first)
        if groups and file.first > groups[-1][-1].last + 1:
            raise _gap(groups[-1][-1].last + 1, file.first)
        if not groups or _enough(groups[-1], file, horizon):
            groups.append([])
        groups[-1].append(file)
    out = []
    for group in groups:
        first, last = max(start, group[0].first), min(end, group[-1].last + 1)
        out.append(Split(lake.number, first, last, _ids_from(files, first, horizon) if horizon else first))
    return out


def _enough(group: list[LakeFile], file: LakeFile, horizon: int) -> bool:
    many = group[-1].last + 1 - group[0].first >= ROWS
    return many and (not horizon or file.day - group[0].day >= DAYS)


def _ids_from(files: list[LakeFile], start: int, horizon: int) -> int:
    """Return where the ids begin that count at `start`: at the dates whose tiles `Duplicates` still keeps there."""
    before = [file for file in files if file.first < start]
    if not before:
        return start
    a_day, kept = DAY // WIDTH, Duplicates(horizon).tiles
    needed = [file.first for file in before if (file.day + 1) * a_day - 1 > before[-1].day * a_day - kept]
    return min(needed[0], start)


def _gap(missing: int, found: int) -> NearlineError:
    remedy = f"events up to {found} are gone; restore their lake files, or begin from nothing"
    return NearlineError(f"{TOPIC} offset", missing, remedy)


def events_of(tenant: Tenant, split: Split, horizon: int) -> Iterator[Events]:
    """Yield a split's events, `[n] EVENT` in order, without what came twice and what is no event of the partition."""
    lake, partitions = tenant.lake.partition(split.partition), tenant.settings.storage.partitions
    if not horizon:
        for table in lake.scan(TOPIC, split.start, split.end, EVENT_COLUMNS):
            yield events_from_table(table, tenant.kinds)
        return
    duplicates = Duplicates(horizon)
    for table in lake.scan(TOPIC, split.ids_from, split.start, ("event_id", "ingested_at")):
        duplicates.taken(*ids_of(table))
    for table in lake.scan(TOPIC, split.start, split.end, IDENTIFIED_COLUMNS):
        events = events_from_table(table, tenant.kinds)
        yield events[duplicates.taken(*ids_of(table)) & belonging(events, split.partition, partitions)]


def erased_from(lake: Lake, offset: int) -> set[int]:
    """Return the keys of visitors with a tombstone at an offset or beyond: what was folded before it is theirs no more."""
    gone: set[int] = set()
    for table in lake.scan(TOPIC, offset, columns=("event_type", "user_key")):
        kinds = table["event_type"].combine_chunks()
        found = np.flatnonzero(pc.equal(kinds.cast("string"), ERASE).to_numpy(zero_copy_only=False))
        gone.update(table["user_key"].to_numpy()[found].tolist())
    return gone
