"""The lake: archived topics as Parquet files, by date of append, each named by the offsets it holds."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nearline.schema.clock import DAY
from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.schema.event import ERASE, TOPICS, Record, Topic
from nearline.stores.durable import sync
from nearline.stores.encode import ALIASES, SCHEMA, complete, records_from_table, table_from_records

_DELTA = ("offset", "ingested_at", "timestamp")
ROWS = 131_072
records = records_from_table
"""Rows of the lake as the records they were."""
_FILE = re.compile(r"(\d+)-(\d+)\.parquet")


@dataclass(frozen=True, slots=True)
class LakeFile:
    """A file of the lake: offsets `first`..`last`, in the partition of `day` (days since 1970, UTC)."""

    path: Path
    first: int
    last: int
    day: int


class Lake:
    """Archived topics of one tenant.

    Files join without holes or overlaps, and dates never go back: a record appended after the clock was set
    back goes to the latest date there is. Writers in several processes take
    turns at a lock; readers need none.

    Args:
        root: folder of all tenants.
        tenant: whose topics these are.
        number: the log's partition that these are the records of.
    """

    def __init__(self, root: str | Path, tenant: str = "default", number: int = 0) -> None:
        self.root, self.folder, self.tenant, self.number = Path(root), Path(root) / tenant, tenant, number

    def partition(self, number: int) -> Lake:
        """Return the lake of another partition of the log."""
        return self if number == self.number else Lake(self.root, self.tenant, number)

    def files(self, topic: Topic) -> list[LakeFile]:
        """Return the files of a topic in offset order."""
        return sorted((f for path in self._partitions(topic) for f in _files(path)), key=lambda file: file.first)

    def start(self, topic: Topic) -> int:
        """Return the first offset kept, or the end where nothing is."""
        return next((file.first for file in self.files(topic)), 0)

    def end(self, topic: Topic) -> int:
        """Return the highest archived offset + 1, from file names alone; 0 when nothing was archived."""
        newest = self._newest(topic)
        return newest.last + 1 if newest else 0

    def write(self, topic: Topic, first_offset: int, records: Sequence[Record]) -> int:
        """Archive consecutive records, skipping those archived before; return the new end.

        Raises:
            NearlineError: records between the lake's end and `first_offset` are missing.
            StoreUnavailableError: disk full or failing; whole files count, the rest does not.
        """
        with self.locked():
            newest = self._newest(topic)
            end = newest.last + 1 if newest else first_offset
            if first_offset > end:
                remedy = f"the lake's {topic} ends at {end}; archive what is between, or restore the log"
                raise NearlineError("first_offset", first_offset, remedy)
            rows = table_from_records(records[end - first_offset :], topic, end, self.tenant, self.number)
            self._place(topic, end, rows)
        return self.end(topic)

    def write_table(self, topic: Topic, table: pa.Table) -> int:
        """Import rows in bulk, after what is there; return the new end, for `Log.set_end`.

        Takes any of the lake's columns (and `action_type`); offsets and keys are made here, `ingested_at` is
        `timestamp` where it is missing, and other missing columns are blank.
        """
        with self.locked():
            end = self.end(topic)
            self._place(topic, end, complete(table, topic, end, self.tenant, self.number))
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
                parquet = pq.ParquetFile(file.path)
            except FileNotFoundError as error:
                remedy = "it expired during the scan; start the scan again"
                raise NearlineError("lake file", str(file.path), remedy) from error
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
        with self.locked():
            files = [file for file in self.files(topic) if (file.day + 1) * DAY <= before_ms]
            newest = self._newest(topic)
            for file in files:
                if file == newest:
                    if pq.read_metadata(file.path).num_rows:
                        self._replace(file.path, SCHEMA.empty_table())
                        dropped += 1
                    continue
                file.path.unlink()
                dropped += 1
                if not _files(file.path.parent):
                    file.path.parent.rmdir()
        return dropped

    def erase(self, user_ids: set[str], before_ms: int | None = None) -> int:
        """Remove all rows of users (of those ingested before `before_ms`, ms UTC); return how many.

        Only files that hold them are rewritten, each atomically. Tombstones stay, until they expire: whoever
        continues from an older snapshot must meet them.
        """
        erased = 0
        ids = pa.array(sorted(user_ids), pa.string())
        with self.locked():
            for file in [file for topic in TOPICS for file in self.files(topic)]:
                few = pq.ParquetFile(file.path).read(["user_id", "event_type", "ingested_at"])
                gone = _gone(few, ids, before_ms)
                count = pc.sum(gone).as_py() or 0
                if count:
                    table = pq.ParquetFile(file.path).read()
                    self._replace(file.path, table.filter(pc.invert(gone)))
                    erased += count
        return erased

    def _partitions(self, topic: Topic) -> list[Path]:
        return sorted(self._of(topic).glob("date=????-??-??"))

    def _of(self, topic: Topic) -> Path:
        """Return the folder of a topic; the first partition's, as of logs that have no other, is the topic's own."""
        return self.folder / topic / f"partition={self.number}" if self.number else self.folder / topic

    def _newest(self, topic: Topic) -> LakeFile | None:
        for path in reversed(self._partitions(topic)):
            if files := _files(path):
                return max(files, key=lambda file: file.last)
        return None

    def _place(self, topic: Topic, first: int, table: pa.Table) -> None:
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
            self._replace(self._of(topic) / f"date={date}" / name, table.slice(a, b - a))

    def _replace(self, path: Path, table: pa.Table) -> None:
        """Write a file so that it is there whole, on disk, or not at all."""
        temporary = path.parent / ".writing.tmp"  # one name: what a killed writer left is written over
        text = [name for name in SCHEMA.names if name not in _DELTA]
        try:
            _make(path.parent)
            pq.write_table(
                table, temporary, compression="zstd", row_group_size=ROWS, use_dictionary=text,
                column_encoding=dict.fromkeys(_DELTA, "DELTA_BINARY_PACKED"),
            )  # fmt: skip
            sync(temporary)
            os.replace(temporary, path)
            sync(path.parent)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise StoreUnavailableError(f"the lake {self.folder} can't be written: {error}") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other writers out, in whatever process."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _files(partition: Path) -> list[LakeFile]:
    day = int(datetime.fromisoformat(partition.name[5:] + "T00:00+00:00").timestamp()) * 1000 // DAY
    found = [(entry.path, _FILE.fullmatch(entry.name)) for entry in os.scandir(partition)]
    return [LakeFile(Path(path), int(match[1]), int(match[2]), day) for path, match in found if match]


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


def _make(folder: Path) -> None:
    """Make a folder that is there after a power cut too."""
    if not folder.exists():
        _make(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)
