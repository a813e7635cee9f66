"""The lake: archived topics as Parquet files, by date of append, each named by the offsets it holds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nearline.schema.clock import DAY
from nearline.schema.errors import NearlineError
from nearline.schema.event import ERASE, TOPICS, Record, Topic
from nearline.stores.buckets.file import FileObjects
from nearline.stores.encode import ALIASES, SCHEMA, complete, records_from_table, table_from_records
from nearline.stores.objects import Held, Objects

_DELTA = ("offset", "ingested_at", "timestamp")
ROWS = 131_072
records = records_from_table
"""Rows of the lake as the records they were."""
_FILE = re.compile(r".*/date=(\d{4}-\d\d-\d\d)/(\d+)-(\d+)\.parquet")
_DATES = "date="
_PARTITIONS = "partition="


@dataclass(frozen=True, slots=True)
class LakeFile:
    """A file of the lake: offsets `first`..`last`, in the partition of `day` (days since 1970, UTC)."""

    name: str
    first: int
    last: int
    day: int


class Lake:
    """Archived topics of one tenant.

    Files join without holes or overlaps, and dates never go back: a record appended after the clock was set
    back goes to the latest date there is. Writers in several processes take
    turns at a lock; readers need none.

    Args:
        objects: where files are; a folder is one on this machine.
        tenant: whose topics these are.
        number: the log's partition that these are the records of.
    """

    def __init__(self, objects: Objects | str | Path, tenant: str = "default", number: int = 0) -> None:
        self.objects = FileObjects(Path(objects)) if isinstance(objects, str | Path) else objects
        self.tenant, self.number = tenant, number
        self._seen: dict[tuple[Topic, int], int] = {}

    def partition(self, number: int) -> Lake:
        """Return the lake of another partition of the log."""
        if number == self.number:
            return self
        other = Lake(self.objects, self.tenant, number)
        other._seen = self._seen
        return other

    def files(self, topic: Topic) -> list[LakeFile]:
        """Return the files of a topic in offset order."""
        return _files(self.objects.names(self._of(topic), before=_PARTITIONS))

    def start(self, topic: Topic) -> int:
        """Return the first offset kept, or the end where nothing is."""
        return next((file.first for file in self.files(topic)), 0)

    def end(self, topic: Topic) -> int:
        """Return the highest archived offset + 1, from file names alone; 0 when nothing was archived."""
        newest = self._newest(topic)
        end = newest.last + 1 if newest else 0
        self._seen[topic, self.number] = end
        return end

    def seen_end(self, topic: Topic) -> int:
        """Return the end without asking over a network: as it was when this process asked last, 0 where it never did."""
        return self._seen.get((topic, self.number), 0) if self.objects.remote else self.end(topic)

    def write(self, topic: Topic, first_offset: int, records: Sequence[Record]) -> int:
        """Archive consecutive records, skipping those archived before; return the new end.

        Raises:
            NearlineError: records between the lake's end and `first_offset` are missing.
            StoreUnavailableError: disk full or failing; whole files count, the rest does not.
        """
        with self.locked() as held:
            newest = self._newest(topic)
            end = newest.last + 1 if newest else first_offset
            if first_offset > end:
                remedy = f"the lake's {topic} ends at {end}; archive what is between, or restore the log"
                raise NearlineError("first_offset", first_offset, remedy)
            rows = table_from_records(records[end - first_offset :], topic, end, self.tenant, self.number)
            self._place(held, topic, end, rows)
        return self.end(topic)

    def write_table(self, topic: Topic, table: pa.Table) -> int:
        """Import rows in bulk, after what is there; return the new end, for `Log.set_end`.

        Takes any of the lake's columns (and `action_type`); offsets and keys are made here, `ingested_at` is
        `timestamp` where it is missing, and other missing columns are blank.
        """
        with self.locked() as held:
            end = self.end(topic)
            self._place(held, topic, end, complete(table, topic, end, self.tenant, self.number))
        return self.end(topic)

    def scan(
        self,
        topic: Topic,
        start: int = 0,
        end: int | None = None,
        columns: Sequence[str] | None = None,
        since_ms: int | None = None,
    ) -> Iterator[pa.Table]:
        """Yield the rows of offsets `start`..`end` in order, a row group at a time.

        Args:
            columns: which, all by default; `action_type` is another name of `event_type`.
            since_ms: only rows ingested at this time (ms UTC) or later.

        Raises:
            NearlineError: no such column, or a file expired during the scan.
        """
        asked = list(columns or SCHEMA.names)
        real = [ALIASES.get(name, name) for name in asked]
        if unknown := sorted(set(real) - set(SCHEMA.names)):
            raise NearlineError("columns", unknown, f"use some of {', '.join(SCHEMA.names)}")
        needed = list(dict.fromkeys([*real, "offset", "ingested_at"]))
        for file in self.files(topic):
            if file.last < start or (end is not None and file.first >= end):
                continue
            if since_ms is not None and (file.day + 1) * DAY <= since_ms:
                continue
            try:
                parquet = pq.ParquetFile(self.objects.source(file.name))
            except FileNotFoundError as error:
                remedy = "it expired during the scan; start the scan again"
                raise NearlineError("lake file", file.name, remedy) from error
            with parquet:
                for group in range(parquet.num_row_groups):
                    piece = _between(parquet.read_row_group(group, needed), start, end, since_ms)
                    if piece.num_rows:
                        yield pa.table([piece[name] for name in real], names=asked)

    def expire(self, topic: Topic, before_ms: int) -> int:
        """Drop the whole dates that ended by `before_ms`; return how many files went.

        The newest file stays, without its rows: its name says where the archive ends.
        """
        dropped = 0
        with self.locked() as held:
            files = [file for file in self.files(topic) if (file.day + 1) * DAY <= before_ms]
            newest = self._newest(topic)
            if newest in files:
                files.remove(newest)
                if pq.read_metadata(self.objects.source(newest.name)).num_rows:
                    self._replace(held, newest.name, SCHEMA.empty_table())
                    dropped = 1
            held.check()
            self.objects.delete([file.name for file in files])
        return dropped + len(files)

    def erase(self, user_ids: set[str], before_ms: int | None = None) -> int:
        """Remove all rows of users (of those ingested before `before_ms`, ms UTC); return how many.

        Only files that hold them are rewritten, each atomically. Tombstones stay, until they expire: whoever
        continues from an older snapshot must meet them.
        """
        erased = 0
        ids = pa.array(sorted(user_ids), pa.string())
        with self.locked() as held:
            for file in [file for topic in TOPICS for file in self.files(topic)]:
                few = pq.ParquetFile(self.objects.source(file.name)).read(["user_id", "event_type", "ingested_at"])
                gone = _gone(few, ids, before_ms)
                count = pc.sum(gone).as_py() or 0
                if count:
                    table = pq.ParquetFile(self.objects.source(file.name)).read()
                    self._replace(held, file.name, table.filter(pc.invert(gone)))
                    erased += count
        return erased

    def locked(self) -> AbstractContextManager[Held]:
        """Keep other writers out, in whatever process."""
        return self.objects.locked(f"{self.tenant}/.lock")

    def _of(self, topic: Topic) -> str:
        """Return the folder of a topic; the first partition's, as of logs that have no other, is the topic's own."""
        folder = f"{self.tenant}/{topic}"
        return f"{folder}/{_PARTITIONS}{self.number}" if self.number else folder

    def _newest(self, topic: Topic) -> LakeFile | None:
        folder = self._of(topic)
        for date in reversed(self.objects.folders(folder)):
            if date.startswith(_DATES) and (files := _files(self.objects.names(f"{folder}/{date}"))):
                return files[-1]
        return None

    def _place(self, held: Held, topic: Topic, first: int, table: pa.Table) -> None:
        """Write rows with offsets from `first` on, one file per date."""
        if not table.num_rows:
            return
        newest = self._newest(topic)
        days = np.maximum.accumulate(table["ingested_at"].to_numpy() // DAY)
        days = np.maximum(days, newest.day if newest else days[0])
        cuts = [0, *(np.flatnonzero(np.diff(days)) + 1).tolist(), len(days)]
        for a, b in pairwise(cuts):
            date = datetime.fromtimestamp(int(days[a]) * DAY / 1000, UTC).strftime("%Y-%m-%d")
            name = f"{first + a:015d}-{first + b - 1:015d}.parquet"
            self._replace(held, f"{self._of(topic)}/{_DATES}{date}/{name}", table.slice(a, b - a))

    def _replace(self, held: Held, name: str, table: pa.Table) -> None:
        """Write a file so that it is there whole, durably, or not at all."""
        text, out = [column for column in SCHEMA.names if column not in _DELTA], pa.BufferOutputStream()
        pq.write_table(
            table, out, compression="zstd", row_group_size=ROWS, use_dictionary=text,
            column_encoding=dict.fromkeys(_DELTA, "DELTA_BINARY_PACKED"),
        )  # fmt: skip
        held.check()
        self.objects.put(name, out.getvalue())


def _files(names: Sequence[str]) -> list[LakeFile]:
    """Return the files among names, in offset order."""
    found = [(name, match) for name in names if (match := _FILE.fullmatch(name))]
    return sorted(
        (LakeFile(name, int(match[2]), int(match[3]), _day(match[1])) for name, match in found), key=lambda file: file.first
    )


@cache
def _day(date: str) -> int:
    """Return a date as days since 1970."""
    return int(datetime.fromisoformat(date + "T00:00+00:00").timestamp()) * 1000 // DAY


def _between(table: pa.Table, start: int, end: int | None, since_ms: int | None) -> pa.Table:
    """Return the rows of offsets `start`..`end` that were ingested at `since_ms` or later."""
    if not table.num_rows:
        return table
    offsets = table["offset"].to_numpy()
    low = int(np.searchsorted(offsets, start))
    high = len(offsets) if end is None else int(np.searchsorted(offsets, end))
    table = table.slice(low, max(0, high - low))
    if since_ms is not None:
        table = table.filter(pc.greater_equal(table["ingested_at"], since_ms))
    return table


def _gone(table: pa.Table, ids: pa.Array, before_ms: int | None) -> pa.ChunkedArray:
    """Return which rows `erase` removes, `[n] bool`."""
    gone = pc.and_(
        pc.is_in(table["user_id"], value_set=ids),
        pc.not_equal(table["event_type"].cast(pa.string()), ERASE),
    )
    return gone if before_ms is None else pc.and_(gone, pc.less(table["ingested_at"], before_ms))
