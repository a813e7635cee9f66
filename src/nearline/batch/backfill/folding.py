"""Folding a bucket: its events, put aside in a file, become the rows of its visitors, some visitors at a time."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nearline.app.tenant import Tenant
from nearline.batch.backfill.plan import Job, file_of
from nearline.batch.backfill.row_table import read_rows, table_of
from nearline.schema.candidates import I32
from nearline.schema.components import Tier
from nearline.schema.event import EVENT, Events
from nearline.stores.durable import sync
from nearline.stores.state import MemoryState

WAVE = 50_000
"""Visitors whose rows are in memory at a time: 75 MB of the default folds' rows."""
READ = 1 << 16
"""Events in memory at a time."""
WRITTEN = 16_384
"""Rows of a row group."""


@dataclass(frozen=True, slots=True)
class Folded:
    """What a bucket came to."""

    bucket: int
    visitors: int
    events: int


class BucketFolder:
    """Folds buckets by the folds that serve, into files that are there whole or not at all.

    Args:
        tenant: whose.
        job: what is wanted.
    """

    def __init__(self, tenant: Tenant, job: Job) -> None:
        self._tenant, self._job = tenant, job
        self._erased = np.array(sorted(job.erased), np.uint64)
        self._before = Path(job.plan.previous) if job.plan.previous else None

    def fold(self, bucket: int, spool: Path) -> Folded:
        """Write a bucket's file.

        Args:
            bucket: its number.
            spool: its events, `[n] EVENT` as bytes, each partition's in order; it need not exist.
        """
        target = self._job.file(bucket)
        draft = target.with_name(f".{target.name}-{uuid.uuid4().hex}")  # another try may be under way elsewhere
        visitors, events = self._visitors(bucket, spool)
        written = 0
        try:
            writer = None
            for begin in range(0, max(1, len(visitors)), WAVE):
                wave = visitors[begin : begin + WAVE]
                state = self._folded(bucket, spool, wave)
                slots = np.flatnonzero(self._kept(state, wave)).astype(np.int32)
                for first in range(0, max(1, len(slots)), WRITTEN):
                    table = self._table(state, wave, slots[first : first + WRITTEN])
                    writer = writer or pq.ParquetWriter(draft, table.schema, compression="zstd")
                    writer.write_table(table)
                    written += table.num_rows
            if writer is not None:
                writer.close()
            sync(draft)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
        return Folded(bucket, written, events)

    def _visitors(self, bucket: int, spool: Path) -> tuple[NDArray[np.uint64], int]:
        """Return the keys of all who are in the bucket, in order, and the number of its events."""
        found, events = [np.zeros(0, np.uint64)], 0
        for batch in _spooled(spool):
            found.append(np.unique(batch["user"]))
            events += len(batch)
        if self._before is not None:
            found += [visitors for visitors, _, _ in read_rows(file_of(self._before, bucket))]
        return np.unique(np.concatenate(found)), events

    def _folded(self, bucket: int, spool: Path, wave: NDArray[np.uint64]) -> MemoryState:
        """Return the state of some visitors, in the order of their keys."""
        state = self._tenant.user_state()
        state.admit(wave)
        if not len(wave):
            return state
        if self._before is not None:
            for visitors, hot, history in read_rows(file_of(self._before, bucket)):
                for slot, a, b in zip(state.users.find(visitors).tolist(), hot, history, strict=True):
                    if slot >= 0:
                        state.push(slot, a, b)
        low, high = wave[0], wave[-1]
        for events in _spooled(spool):
            state.apply(events[(events["user"] >= low) & (events["user"] <= high)])
        return state

    def _kept(self, state: MemoryState, wave: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Return who has a row: not who was erased, then or since, `[n] bool`."""
        there: NDArray[np.bool_] = (state.presence["last"][: len(wave)] != 0) & ~np.isin(wave, self._erased)
        return there

    def _table(self, state: MemoryState, wave: NDArray[np.uint64], slots: I32) -> pa.Table:
        hot, history = state.pull(slots)
        gone: dict[Tier, NDArray[np.bool_]] | None = None
        if self._job.plan.columns:
            idle = self._job.plan.as_of - state.presence["last"][slots]
            gone = {"hot": idle > state.hot_ttl, "history": idle > state.history_ttl}
        return table_of(wave[slots], hot, history, state.packed, gone)


def _spooled(path: Path) -> Iterator[Events]:
    """Yield the events that were put aside, `[n] EVENT`."""
    if not path.exists():
        return
    with path.open("rb") as file:
        while len(events := np.fromfile(file, EVENT, READ)):
            yield events
