"""Connections to PostgreSQL: lent one at a time, given up when the server does not answer, made again when it does."""

from __future__ import annotations

import re
import select
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any, TypeVar
from urllib.parse import unquote

import psycopg
from psycopg import conninfo, errors

from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.stores.adapters import shown

T = TypeVar("T")
PATIENCE = 10.0
"""Seconds that the server may take to answer a statement."""
CONNECT = 3
"""Seconds that it may take to let us in."""
IDLE = 4
"""Connections that are kept for the next question."""
DEFAULTS: dict[str, str] = {
    "connect_timeout": str(CONNECT),
    "application_name": "nearline",
    "client_encoding": "utf8",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
}


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that waits for an answer no longer than `patience` seconds."""

    patience = PATIENCE

    def wait(self, gen: Generator[Any, Any, T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Return what a generator of psycopg's brings, in time."""
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.patience)
        except errors._WaitTimeout:
            self.close()
            raise psycopg.OperationalError(f"no answer within {self.patience:g} s") from None

    def alive(self) -> bool:
        """Return whether it can be used; what was closed by the server has something to read, and idle ones have not."""
        if self.closed:
            return False
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        return not poll.poll(0)


class Connections:
    """Connections of a URL, each lent to one thread at a time.

    Args:
        url: such as postgresql://user@host:5432/database?sslmode=require; what it does not say, libpq's variables and files do.
        setting: that names the URL, for errors.
        patience: seconds for one statement.

    Raises:
        NearlineError: it is no such URL.
    """

    def __init__(self, url: str, setting: str, patience: float = PATIENCE) -> None:
        self.shown, self._setting, self._patience = shown(url), setting, patience
        self._secrets = _secrets(url)
        who = url.partition("://")[2].partition("?")[0].rpartition("@")[0]
        try:
            if re.search(r"[/#@\[\]]", who):
                raise psycopg.ProgrammingError
            self._how = DEFAULTS | {name: str(value) for name, value in conninfo.conninfo_to_dict(url).items()}
        except psycopg.Error:
            # libpq's own words would quote what it took for a port or a host: perhaps half of a password.
            remedy = "write postgresql://user:password@host:5432/database; in names and passwords, signs such as @ as %40"
            raise NearlineError(setting, self.shown, remedy) from None
        self._idle: list[Connection] = []
        self._came: SimpleQueue[Connection | Exception] = SimpleQueue()
        self._opening = self._waiting = 0
        self._lock = threading.Lock()
        self._closed = False

    def new(self) -> Connection:
        """Return a connection of one's own; each statement is a transaction.

        Raises:
            StoreUnavailableError: the server can't be reached, or refuses.
        """
        if self._closed:
            raise NearlineError(self._setting, self.shown, "this store is closed")
        try:
            made = Connection.connect(conninfo.make_conninfo("", **self._how), autocommit=True)
        except psycopg.Error as error:
            raise self.unavailable(error) from None
        made.patience = self._patience
        return made

    @contextmanager
    def lend(self) -> Iterator[Connection]:
        """Lend a connection.

        Raises:
            StoreUnavailableError: whatever PostgreSQL refuses meanwhile; nothing of an open transaction remains.
        """
        connection = self._take()
        try:
            yield connection
        except psycopg.Error as error:
            connection.close()
            raise self.unavailable(error) from None
        except BaseException:
            connection.close()
            raise
        with self._lock:
            if not self._closed and len(self._idle) < IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def _take(self) -> Connection:
        while True:
            with self._lock:
                found = self._idle.pop() if self._idle else None
            if found is None:
                found = self.new() if self._patience >= CONNECT else self._soon()
            if found.alive():
                return found
            found.close()

    def _soon(self) -> Connection:
        """Return a new connection within `patience`; one that takes longer is there for who asks next."""
        with self._lock:
            self._waiting += 1
            if self._opening < self._waiting:
                self._opening += 1
                threading.Thread(target=self._open, name="nearline-postgresql", daemon=True).start()
        try:
            found = self._came.get(timeout=self._patience)
        except Empty:
            raise StoreUnavailableError(f"{self.shown}: no connection within {self._patience:g} s") from None
        finally:
            with self._lock:
                self._waiting -= 1
        if isinstance(found, Exception):
            raise found
        return found

    def _open(self) -> None:
        try:
            made: Connection | Exception = self.new()
        except Exception as error:
            made = error
        with self._lock:
            self._opening -= 1
            if self._waiting:
                self._came.put(made)
            elif isinstance(made, Connection):
                if self._closed:
                    made.close()
                else:
                    self._idle.append(made)

    def unavailable(self, error: Exception) -> StoreUnavailableError:
        """Return an error that says what PostgreSQL said, without secrets."""
        text = " ".join(str(error).split())
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return StoreUnavailableError(f"{self.shown}: {text}")

    def close(self) -> None:
        """Let go of all. Closing twice is fine."""
        with self._lock:
            self._closed = True
            while self._idle:
                self._idle.pop().close()
            while not self._came.empty():
                found = self._came.get()
                if isinstance(found, Connection):
                    found.close()


def _secrets(url: str) -> list[str]:
    """Return what must not be shown: passwords, and their pieces where one has signs that divide a URL."""
    _, _, rest = url.partition("://")
    before, _, _ = rest.rpartition("@")
    _, _, password = before.partition(":")
    found = [password, *re.split(r"[:/?#@\[\]]", password)]
    found += re.findall(r"password=([^&]*)", rest)
    return sorted({text for part in found for text in (part, unquote(part)) if text}, key=len, reverse=True)
