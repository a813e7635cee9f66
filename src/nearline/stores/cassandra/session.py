"""A session with a Cassandra cluster: made when it is first asked for, and again where that failed; statements by name."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from cassandra import ConsistencyLevel, DriverException, InvalidRequest
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable, Session
from cassandra.policies import ConstantReconnectionPolicy, DCAwareRoundRobinPolicy, TokenAwarePolicy

from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.stores.adapters import shown

CONNECT = 5.0
"""Seconds that a node may take to let us in; nobody waits for it longer than for an answer."""
AGAIN = 0.5
"""Seconds between two tries to reach a node that is away."""
MOST = 256
"""Statements under way at once."""
NO_TABLE = re.compile(r'message="(unconfigured )?table ', re.IGNORECASE)
"""How a server says that nobody has written yet; without its keyspace it says something else."""
MAKING = 30.0
"""Seconds that all nodes may take to agree on a new table."""


class Cassandra:
    """A session for a keyspace, which must be there; `LOCAL_QUORUM` reads and writes.

    Args:
        url: cassandra://user:password@host,host:9042/keyspace?dc=name.
        setting: that names the URL, for errors.
        timeout: seconds that one answer may take.
        tables: statements that make them, at the first write; in each statement `{keyspace}` stands before a table's name.

    Raises:
        NearlineError: it is no such URL.
    """

    def __init__(self, url: str, setting: str, timeout: float, tables: Sequence[str]) -> None:
        self.shown, self._timeout, self._tables = shown(url), timeout, tables
        try:
            parts = urlsplit(url)
            given = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
            who, _, where = parts.netloc.rpartition("@")
            hosts, _, port = where.partition(":")
            keyspace = parts.path[1:]
            number = int(port or 9042)
        except ValueError:
            keyspace = ""
        if not keyspace.isidentifier() or not hosts or not set(given) <= {"dc"}:
            remedy = "write cassandra://user:password@host,host:9042/keyspace?dc=name, with a keyspace that is there"
            raise NearlineError(setting, self.shown, remedy)
        self._keyspace, (user, _, password) = keyspace, who.partition(":")
        nearest = TokenAwarePolicy(DCAwareRoundRobinPolicy(given.get("dc", "")))
        profile = ExecutionProfile(nearest, None, ConsistencyLevel.LOCAL_QUORUM, ConsistencyLevel.LOCAL_SERIAL, timeout)
        self._how: dict[str, Any] = {
            "contact_points": hosts.split(","),
            "port": number,
            "execution_profiles": {EXEC_PROFILE_DEFAULT: profile},
            "auth_provider": PlainTextAuthProvider(unquote(user), unquote(password)) if who else None,
            "connect_timeout": max(timeout, CONNECT),
            "control_connection_timeout": max(timeout, CONNECT),
            "reconnection_policy": ConstantReconnectionPolicy(AGAIN, None),
        }
        self._opener = ThreadPoolExecutor(1, "nearline-cassandra")
        self._opening: Future[Session] | None = None
        self._prepared: dict[str, Any] = {}
        self._made = False
        self._lock = threading.Lock()

    def ask(self, statement: str, rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
        """Return the rows that a statement answers to each of these values; none where there is no table yet.

        Raises:
            StoreUnavailableError: not all were answered in time; those that were are done.
        """
        with self._asking():
            session = self._open()
            try:
                prepared = self._prepare(session, statement)
            except InvalidRequest as error:
                if not NO_TABLE.search(str(error)):
                    raise
                return [[] for _ in rows]
            found: list[list[Any]] = []
            for begin in range(0, len(rows), MOST):
                asked = [session.execute_async(prepared, values) for values in rows[begin : begin + MOST]]
                found += [list(answer.result()) for answer in asked]
            return found

    def make(self) -> None:
        """Make the tables, once."""
        if not self._made:
            with self._asking():
                for table in self._tables:
                    self._open().execute(table.format(keyspace=self._keyspace), timeout=max(self._timeout, MAKING))
            self._made = True

    def _open(self) -> Session:
        """Return the session; one that takes longer than an answer may is there for who asks next."""
        with self._lock:
            if self._opening is None:
                self._opening = self._opener.submit(self._connect)
            opening = self._opening
        try:
            return opening.result(self._timeout)
        except TimeoutError:
            raise StoreUnavailableError(f"{self.shown}: no connection within {self._timeout:g} s") from None
        except Exception:
            with self._lock:
                if self._opening is opening:
                    self._opening = None  # the next one tries again
            raise

    def _connect(self) -> Session:
        cluster = Cluster(**self._how)
        try:
            return cluster.connect()
        except BaseException:
            cluster.shutdown()
            raise

    def _prepare(self, session: Session, statement: str) -> Any:
        if statement not in self._prepared:
            self._prepared[statement] = session.prepare(statement.format(keyspace=self._keyspace))
        return self._prepared[statement]

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except (DriverException, NoHostAvailable, InvalidRequest, OSError) as error:
            raise StoreUnavailableError(f"{self.shown}: {' '.join(str(error).split())}") from None

    def close(self) -> None:
        """Let go of connections. Closing twice is fine."""
        self._opener.shutdown()
        opening, self._opening = self._opening, None
        if opening is not None and opening.exception() is None:
            opening.result().cluster.shutdown()
