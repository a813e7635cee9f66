"""Connections to MySQL or MariaDB: lent one at a time, given up when the server does not answer, made again when it does."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pymysql
from pymysql.connections import Connection

from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.stores.adapters import shown

CONNECT = 3.0
"""Seconds that the server may take to let us in."""
IDLE = 4
"""Connections that are kept for the next question."""
PARAMETERS = ("ssl_ca", "ssl_cert", "ssl_key", "unix_socket", "read_default_file")
DEFAULTS: dict[str, Any] = {
    "charset": "utf8mb4",
    "autocommit": True,
    "sql_mode": "STRICT_ALL_TABLES",  # what does not fit is refused, not cut
    # What writers lock is what they write, not the gaps between.
    "init_command": "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
}


class Connections:
    """Connections of a URL, each lent to one thread at a time.

    Args:
        url: mysql://user:password@host:3306/database?name=value; without a password, `MYSQL_PWD` or an option file has it.
        setting: that names the URL, for errors.
        patience: seconds that one answer may take.

    Raises:
        NearlineError: it is no such URL.
    """

    def __init__(self, url: str, setting: str, patience: float) -> None:
        self.shown, self._patience = shown(url), patience
        try:
            parts = urlsplit(url)
            given = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
            where = {"host": parts.hostname or "127.0.0.1", "port": parts.port or 3306, "database": unquote(parts.path[1:])}
        except ValueError:
            where, given = {"database": ""}, {}
        if not where["database"] or not set(given) <= set(PARAMETERS):
            remedy = f"write mysql://user:password@host:3306/database, with any of {', '.join(PARAMETERS)}; signs as %40"
            raise NearlineError(setting, self.shown, remedy)
        who: dict[str, Any] = {"user": unquote(parts.username)} if parts.username else {}
        self._secret = unquote(parts.password or os.environ.get("MYSQL_PWD", ""))
        if self._secret:
            who["password"] = self._secret
        self._how: dict[str, Any] = {**DEFAULTS, **where, **who, **given}
        self._idle: list[Connection[Any]] = []
        self._lock = threading.Lock()
        self._closed = False

    def new(self, patience: float = 0.0) -> Connection[Any]:
        """Return a connection of one's own; each statement is a transaction.

        Args:
            patience: seconds that one answer may take, instead of what all others may.

        Raises:
            StoreUnavailableError: the server can't be reached, or refuses.
        """
        wait = patience or self._patience
        try:
            return pymysql.connect(
                **self._how,
                connect_timeout=min(wait, CONNECT),
                read_timeout=wait,
                write_timeout=wait,
            )
        except pymysql.Error as error:
            raise self.unavailable(error) from None

    @contextmanager
    def lend(self) -> Iterator[Connection[Any]]:
        """Lend a connection.

        Raises:
            StoreUnavailableError: whatever MySQL refuses meanwhile; nothing of an open transaction remains.
        """
        connection = self._take()
        try:
            yield connection
        except pymysql.Error as error:
            drop(connection)
            raise self.unavailable(error) from None
        except BaseException:
            drop(connection)
            raise
        with self._lock:
            if not self._closed and len(self._idle) < IDLE:
                self._idle.append(connection)
                return
        drop(connection)

    def _take(self) -> Connection[Any]:
        while True:
            with self._lock:
                found = self._idle.pop() if self._idle else None
            if found is None:
                return self.new()
            if _alive(found):
                return found
            drop(found)

    def unavailable(self, error: Exception) -> StoreUnavailableError:
        """Return an error that says what MySQL said, without secrets."""
        text = " ".join(str(error.args[-1] if error.args else error).split())
        return StoreUnavailableError(f"{self.shown}: {text.replace(self._secret, '***') if self._secret else text}")

    def close(self) -> None:
        """Let go of all. Closing twice is fine."""
        with self._lock:
            self._closed = True
            while self._idle:
                drop(self._idle.pop())


def drop(connection: Connection[Any]) -> None:
    """Close a connection; a goodbye would be waited for where the server hangs."""
    with suppress(pymysql.Error):
        connection._force_close()  # type: ignore[attr-defined]


def _alive(connection: Connection[Any]) -> bool:
    """Return whether it can be used; what was closed by the server has something to read, and idle ones have not."""
    if not connection.open:
        return False
    poll = select.poll()
    poll.register(connection._sock.fileno(), select.POLLIN)  # type: ignore[attr-defined]
    return not poll.poll(0)
