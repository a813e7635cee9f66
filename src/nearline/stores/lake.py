"""The lake: archived topics as Parquet files, by date of append, each named by the offsets it holds."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nearline.schema.clock import DAY
from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.schema.event import ERASE, TOPICS, Record, Topic
from nearline.stores.encode import key_columns

_TEXT, _NAME = pa.string(), pa.dictionary(pa.int32(), pa.string())
SCHEMA: Any = pa.schema(
    [
        ("tenant", _NAME),
        ("topic", _NAME),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("ingested_at", pa.int64()),
        ("event_id", _TEXT),
        ("user_id", _TEXT),
        ("item_id", _TEXT),
        ("event_type", _NAME),
        ("timestamp", pa.int64()),
        ("session_id", _TEXT),
        ("request_id", _TEXT),
        ("page", _NAME),
        ("position", pa.int64()),
        ("rating", pa.float64()),
        ("dwell_time", pa.float64()),
        ("dwell_ms", pa.int64()),
        ("value", pa.float64()),
        ("category", _NAME),
        ("brand", _NAME),
        ("price", pa.float64()),
        ("device", _NAME),
        ("context", _TEXT),
        ("user_key", pa.uint64()),
        ("item_key", pa.uint64()),
        ("session_key", pa.uint64()),
        ("category_key", pa.uint32()),
        ("brand_key", pa.uint32()),
    ]
)
"""Columns of every topic. Times are ms UTC, `dwell_time` is `dwell_ms` in seconds; strings are never null."""

ALIASES = {"action_type": "event_type"}
RECORD_COLUMNS: tuple[str, ...] = Record.__struct_fields__
_DELTA = ("offset", "ingested_at", "timestamp")
ROWS = 131_072
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

    Files join without holes or overlaps, and dates never go back: a record appended after the clock was set back
    goes to the latest date there is. Writers of several processes take turns at a lock file; readers need none.

    Args:
        root: folder of all tenants.
        tenant: whose topics these are.
    """

    def __init__(self, root: str | Path, tenant: str = "default") -> None:
        self.folder, self.tenant = Path(root) / tenant, tenant

    def files(self, topic: Topic) -> list[LakeFile]:
        """Return the files of a topic in offset order."""
        return sorted(
            (f for path in self._partitions(topic) for f in _files(path)), key=lambda file: file.first
        )

    def start(self, topic: Topic) -> int:
        """Return the first offset kept, or the end where nothing is."""
        return next((file.first for file in self.files(topic)), 0)

    def end(self, topic: Topic) -> int:
        """Return the highest archived offset + 1, from file names alone; 0 when nothing was archived."""
        newest = self._newest(topic)
        return newest.last + 1 if newest else 0

    def write(self, topic: Topic, first_offset: int, records: Sequence[Record]) -> int:
        """Archive consecutive records; those archived before are skipped. Return the new end.

        Raises:
            NearlineError: records between the lake's end and `first_offset` are missing.
            StoreUnavailableError: disk full or failing; what was renamed into place counts, the rest does not.
        """
        with self._locked():
            newest = self._newest(topic)
            end = newest.last + 1 if newest else first_offset
            if first_offset > end:
                remedy = f"the lake's {topic} ends at {end}; archive what is between, or restore the log"
                raise NearlineError("first_offset", first_offset, remedy)
            self._place(topic, end, from_records(records[end - first_offset :], topic, end, self.tenant))
        return self.end(topic)

    def write_table(self, topic: Topic, table: pa.Table) -> int:
        """Import rows in bulk, after what is there; return the new end, for `Log.set_end`.

        Takes any of the lake's columns (and `action_type`); offsets and keys are made here, `ingested_at` is
        `timestamp` where it is missing, and other missing columns are blank.
        """
        with self._locked():
            end = self.end(topic)
            self._place(topic, end, complete(table, topic, end, self.tenant))
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
        with self._locked():
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
        with self._locked():
            for file in [file for topic in TOPICS for file in self.files(topic)]:
                gone = _gone(pq.read_table(file.path, columns=["user_id", "event_type", "ingested_at"]), ids, before_ms)
                count = pc.sum(gone).as_py() or 0
                if count:
                    table = pq.ParquetFile(file.path).read()
                    self._replace(file.path, table.filter(pc.invert(gone)))
                    erased += count
        return erased

    def _partitions(self, topic: Topic) -> list[Path]:
        return sorted((self.folder / topic).glob("date=????-??-??"))

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
        for a, b in zip(cuts[:-1], cuts[1:], strict=True):
            date = datetime.fromtimestamp(int(days[a]) * DAY / 1000, UTC).strftime("%Y-%m-%d")
            name = f"{first + a:015d}-{first + b - 1:015d}.parquet"
            self._replace(self.folder / topic / f"date={date}" / name, table.slice(a, b - a))

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
            _sync(temporary)
            os.replace(temporary, path)
            _sync(path.parent)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise StoreUnavailableError(f"the lake {self.folder} can't be written: {error}") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
