"""The log in one SQLite file: a row per append and topic, holding a batch of records."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.schema.event import Record, Topic
from nearline.stores.durable import sync
from nearline.stores.log import Ends, Position, Tail
from nearline.stores.open_log import LogPlace
from nearline.stores.polling import PollingTail

Durability = Literal["fsync", "relaxed"]

VERSION = 1
BUSY = 0.25
PAGE_BATCHES = 256
TRIM_BATCHES = 500
SCHEMA = """
CREATE TABLE batches (
    topic TEXT NOT NULL, first_offset INTEGER NOT NULL, count INTEGER NOT NULL,
    first_ingested INTEGER NOT NULL, last_ingested INTEGER NOT NULL, payload BLOB NOT NULL,
    UNIQUE (topic, first_offset)
);
CREATE TABLE ends (topic TEXT PRIMARY KEY, next INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE consumers (
    consumer TEXT NOT NULL, topic TEXT NOT NULL, next INTEGER NOT NULL, PRIMARY KEY (consumer, topic)
) WITHOUT ROWID;
"""
SET_END = "INSERT OR REPLACE INTO ends VALUES (?, ?)"
PAGE = """
SELECT first_offset, count, payload FROM batches
WHERE topic = ?1 AND first_offset >= coalesce(
    (SELECT max(first_offset) FROM batches WHERE topic = ?1 AND first_offset <= ?2), 0)
ORDER BY first_offset LIMIT ?3
"""
START = """SELECT coalesce((SELECT min(first_offset) FROM batches WHERE topic = ?1),
                       (SELECT next FROM ends WHERE topic = ?1))"""
OFFSET_AT = """SELECT coalesce((SELECT first_offset FROM batches WHERE topic = ?1 AND last_ingested >= ?2
                                ORDER BY first_offset LIMIT 1),
                           (SELECT next FROM ends WHERE topic = ?1))"""


def open_log(place: LogPlace) -> SqliteLog:
    """Open the log in the tenant's folder."""
    if place.url.partition(":")[2] or place.partitions != 1:
        remedy = 'write "sqlite:", with one partition; its place is the folder storage.path'
        raise NearlineError("storage.log", f"{place.url} with {place.partitions} partitions", remedy)
    durability: Durability = "relaxed" if place.durability == "relaxed" else "fsync"
    return SqliteLog(place.folder / "log.sqlite", durability, read_only=place.read_only)


class SqliteLog:
    """A `Log` in one SQLite file in WAL mode, beside `<path>.lock`, which the one writer holds.

    Args:
        path: the database; the writer creates it and its folder.
        durability: "fsync" syncs each append before it returns; "relaxed" leaves that to the system:
            a killed process loses nothing, a power cut may lose the last seconds.
        read_only: opens without the lock, beside a writer in any process.

    Raises:
        NearlineError: another process writes to it, it does not exist (read-only), or it isn't such a log.
    """

    shared = False
    partitions = 1

    def __init__(self, path: str | Path, durability: Durability = "fsync", read_only: bool = False) -> None:
        self.path, self.durability, self.read_only = Path(path), durability, read_only
        if durability not in ("fsync", "relaxed"):
            raise NearlineError("log.durability", durability, 'use "fsync" or "relaxed"')
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(list[Record]).decode
        self._writing = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._writer: sqlite3.Connection | None = None
        self._lock: int | None = None
        self._closed = False
        try:
            if read_only:
                with self._reader() as connection:
                    self._check_version(connection)
            else:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._lock = _exclusive(self.path)
                self._writer = self._create()
        except (sqlite3.Error, StoreUnavailableError) as error:
            self.close()
            remedy = f"name a Nearline log; SQLite says: {error}"
            raise NearlineError("log.path", str(path), remedy) from error
        except NearlineError:
            self.close()
            raise

    def partition(self, number: int) -> SqliteLog:
        """Return this log, which is not divided."""
        return self

    def tail(self, at: Mapping[Position, int]) -> Tail:
        """Return a reader of what comes from these offsets on."""
        return PollingTail(self, at)

    def append(self, batches: Mapping[Topic, Sequence[Record]]) -> dict[Topic, Ends]:
        """Append to several topics in one durable transaction; return where they end.

        Raises:
            StoreUnavailableError: disk full, locked or failing; nothing was written.
        """
        payloads = {topic: self._encode(records) for topic, records in batches.items()}
        ends: dict[Topic, Ends] = {}
        with self._transaction() as connection:
            for topic, records in batches.items():
                if not records:
                    continue
                first = _end(connection, topic)
                ends[topic] = {0: first + len(records)}
                oldest, newest = records[0].ingested_at, max(r.ingested_at for r in records)
                row = (topic, first, len(records), oldest, newest, payloads[topic])
                connection.execute("INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?)", row)
                connection.execute(SET_END, (topic, first + len(records)))
        return ends

    def read(self, topic: Topic, start: int, limit: int) -> tuple[int, list[Record]]:
        """Return up to `limit` consecutive records from `start` on, after the offset of the first."""
        records: list[Record] = []
        first = following = start
        while len(records) < limit:
            with self._reader() as connection:
                page = _page(connection, topic, following, limit - len(records))
                if not page and not records:
                    first = max(start, _number(connection, START, topic))
            before = following
            for batch_first, count, payload in page:
                if batch_first + count <= following:
                    continue
                if batch_first > following:
                    if records:  # trimmed or moved between two pages: what is returned has no holes
                        return first, records
                    first = following = batch_first
                batch = self._decode(payload)[following - batch_first :][: limit - len(records)]
                records += batch
                following += len(batch)
                if len(records) >= limit:
                    break
            if following == before:
                break
        return first, records

    def copy(self, to: Path) -> None:
        """Write a whole, consistent copy to a new file, while others may append."""
        with self._reader() as connection, closing(sqlite3.connect(to)) as target:
            connection.backup(target)
        sync(to)

    def start(self, topic: Topic) -> int:
        """Return the offset of the first record kept, or the end where none is."""
        with self._reader() as connection:
            return _number(connection, START, topic)

    def end(self, topic: Topic) -> int:
        """Return the offset that the next record gets."""
        with self._reader() as connection:
            return _end(connection, topic)

    def set_end(self, topic: Topic, offset: int) -> None:
        """Move the end forward, leaving a hole that the lake fills.

        Raises:
            NearlineError: `offset` is below the end.
        """
        with self._transaction() as connection:
            end = _end(connection, topic)
            if offset < end:
                raise NearlineError("offset", offset, f"the end of {topic} only moves forward, from {end}")
            connection.execute(SET_END, (topic, offset))

    def offset_at(self, topic: Topic, ms: int) -> int:
        """Return where the first batch starts that holds a record ingested at `ms` or later, or the end."""
        with self._reader() as connection:
            return _number(connection, OFFSET_AT, topic, ms)

    def commit(self, consumer: str, topic: Topic, offset: int) -> None:
        """Remember durably that `consumer` is done with everything below `offset`."""
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO consumers VALUES (?, ?, ?)", (consumer, topic, offset))

    def committed(self, consumer: str, topic: Topic) -> int:
        """Return what `consumer` committed last, 0 for nothing."""
        with self._reader() as connection:
            query = "SELECT next FROM consumers WHERE consumer = ? AND topic = ?"
            return _number(connection, query, consumer, topic)

    def trim(self, topic: Topic, before: int) -> int:
        """Drop the whole batches below `before`, in steps between which appends pass; return the count."""
        dropped = 0
        query = """SELECT rowid, count FROM batches WHERE topic = ? AND first_offset + count <= ?
                   AND first_offset < ? ORDER BY first_offset LIMIT ?"""
        while True:
            with self._transaction() as connection:
                rows = connection.execute(query, (topic, before, before, TRIM_BATCHES)).fetchall()
                connection.executemany("DELETE FROM batches WHERE rowid = ?", [(rowid,) for rowid, _ in rows])
            dropped += sum(int(count) for _, count in rows)
            if len(rows) < TRIM_BATCHES:
                return dropped

    def close(self) -> None:
        """Let go of files and the lock. Closing twice is fine."""
        with self._writing:
            self._closed = True
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            while self._idle:
                self._idle.pop().close()
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    def _open(self, mode: str) -> sqlite3.Connection:
        uri = f"{self.path.absolute().as_uri()}?mode={mode}"
        return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY)

    def _create(self) -> sqlite3.Connection:
        connection = self._open("rwc")
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {'FULL' if self.durability == 'fsync' else 'NORMAL'}")
            connection.execute("PRAGMA journal_size_limit = 67108864")
            if not _number(connection, "SELECT count(*) FROM sqlite_master"):
                version = f"PRAGMA user_version = {VERSION};"
                connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} {version} COMMIT;")
            self._check_version(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_version(self, connection: sqlite3.Connection) -> None:
        found = _number(connection, "PRAGMA user_version")
        if found != VERSION:
            remedy = f"it has version {found}, this Nearline reads {VERSION}; use the one that wrote it"
            raise NearlineError("log.path", str(self.path), remedy)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._writing:
            connection = self._writer
            if connection is None:
                remedy = "this log is closed" if self._closed else "this log is open read-only"
                raise NearlineError("log.path", str(self.path), remedy)
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except sqlite3.OperationalError as error:
                raise StoreUnavailableError(f"the log {self.path} can't be written: {error}") from error
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection of its own to the caller, so that readers wait for nobody."""
        if self._closed:
            raise NearlineError("log.path", str(self.path), "this log is closed")
        try:
            connection = self._idle.pop()
        except IndexError:
            if not self.path.exists():
                remedy = "no log is there; start the server first"
                raise NearlineError("log.path", str(self.path), remedy) from None
            connection = self._open("rw")  # not "ro": a reader may have to make the shared-memory file
            connection.execute("PRAGMA query_only = ON")
        try:
            yield connection
        except sqlite3.OperationalError as error:
            raise StoreUnavailableError(f"the log {self.path} can't be read: {error}") from error
        finally:
            if self._closed:
                connection.close()
            else:
                self._idle.append(connection)


def _exclusive(path: Path) -> int:
    """Take the writer's lock; the operating system frees it when the process ends, however it ends."""
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        remedy = "another process writes to this log; stop it, or give this one its own log.path"
        raise NearlineError("log.path", str(path), remedy) from error
    return descriptor


def _page(connection: sqlite3.Connection, topic: Topic, start: int, limit: int) -> list[tuple[int, int, bytes]]:
    """Return batches from the one that holds `start` on, no more than `limit` records need."""
    page: list[tuple[int, int, bytes]] = []
    with closing(connection.execute(PAGE, (topic, start, PAGE_BATCHES))) as cursor:
        for first, count, payload in cursor:
            page.append((first, count, payload))
            limit -= max(0, first + count - max(first, start))
            if limit <= 0:
                break
    return page


def _end(connection: sqlite3.Connection, topic: Topic) -> int:
    return _number(connection, "SELECT next FROM ends WHERE topic = ?", topic)


def _number(connection: sqlite3.Connection, query: str, *values: str | int) -> int:
    """Return the number that one statement (so: one snapshot) finds, 0 for none."""
    with closing(connection.execute(query, values)) as cursor:
        row = cursor.fetchone()
    return int(row[0] or 0) if row else 0
