"""Neighbours by SQL: which items a database of yours says go together; by default, what visitors touched within an hour."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nearline.schema.candidates import I32
from nearline.schema.components import Arrays, FitData
from nearline.schema.errors import NearlineError
from nearline.schema.ids import keys
from nearline.sources.neighbours import Histories, NeighbourSource, table_of

TOGETHER = """
SELECT a.item_id, b.item_id, count(DISTINCT a.user_id) AS visitors
FROM nearline_events a JOIN nearline_events b ON a.tenant = b.tenant AND a.user_id = b.user_id AND a.item_id <> b.item_id
     AND b.timestamp BETWEEN a.timestamp - interval '1 hour' AND a.timestamp + interval '1 hour'
WHERE a.user_id <> '' AND a.item_id <> '' AND b.item_id <> '' AND a.timestamp < %(until)s AND b.timestamp < %(until)s
GROUP BY 1, 2
"""
"""Over the view that the log in PostgreSQL has."""


class SqlSource(NeighbourSource):
    """Items that go together by an SQL query, as the last ones; asked when sources are fitted, so no request waits for it.

    Off by default, see `docs/how-to/postgresql.md`.

    Args:
        url: "postgresql://host/database", by default what libpq's environment says; or "sqlite:/path/to/file".
        query: returns an item's id, another's, and a positive number, which is greater the more the first speaks for the
            second. What it reads must have happened before the parameter `until`, else evaluation sees the future: a time
            as `%(until)s` in PostgreSQL, ms UTC as `:until` in SQLite.
        quota: candidates at most.
        neighbours: how many each item keeps.
        ask: how many of the last items to ask with.
        decay: weight of each further one.
        name: another one, for a second query.
    """

    name = "sql"
    default = False

    def __init__(
        self,
        url: str = "postgresql:",
        query: str = TOGETHER,
        quota: int = 200,
        neighbours: int = 100,
        ask: int = 20,
        decay: float = 0.8,
        name: str = "sql",
    ) -> None:
        super().__init__(quota, ask, decay)
        self.url, self.query, self.neighbours, self.name = url, query, neighbours, name

    def fit(self, data: FitData) -> Arrays:
        """Return `keys [n] uint64`, `neighbours [n, k] int32` and `weights [n, k] float16`; `{}` for a query without rows.

        Raises:
            NearlineError: the database can't be reached, or refuses the query; or the query returns something else.
        """
        rows = self._rows(data.now)
        try:
            pairs = keys(str(name) for row in rows for name in row[:2]).reshape(-1, 2)
            speaks = np.array([float(strength) for _, _, strength in rows])
        except (TypeError, ValueError) as error:
            remedy = "let the query return two items' ids and a number"
            raise NearlineError("SqlSource.query", str(rows[0]), remedy) from error
        known = np.isin(pairs, data.items).all(axis=1) & (speaks > 0)
        if not known.any():
            return {}
        ids, places = np.unique(pairs[known], return_inverse=True)
        first, second = places.reshape(-1, 2).T
        similar = sparse.csr_matrix((speaks[known], (first, second)), shape=(len(ids), len(ids)))
        neighbours, weights = table_of(similar, self.neighbours)
        return {"keys": ids, "neighbours": neighbours, "weights": weights}

    def learn(self, past: Histories, seed: int) -> tuple[I32, NDArray[np.float16]] | None:
        """Learn nothing from the log: the query says it all."""
        return None

    def _rows(self, until: int) -> list[Any]:
        scheme, _, rest = self.url.partition(":")
        if scheme == "sqlite":
            connection = sqlite3.connect(f"file:{rest}?mode=ro", uri=True)
            try:
                return connection.execute(self.query, {"until": until}).fetchall()
            except sqlite3.Error as error:
                raise self._refused(error) from error
            finally:
                connection.close()
        if scheme != "postgresql":
            raise NearlineError("SqlSource.url", scheme, "use postgresql: or sqlite:")
        try:
            import psycopg
        except ImportError as error:
            remedy = 'its client is not installed: pip install "nearline[postgresql]"'
            raise NearlineError("SqlSource.url", scheme, remedy) from error
        try:
            with psycopg.connect("" if self.url == "postgresql:" else self.url, connect_timeout=10) as database:
                when = datetime.fromtimestamp(until / 1000, UTC)
                query: Any = self.query
                return list(database.execute(query, {"until": when}).fetchall())
        except psycopg.Error as error:
            raise self._refused(error) from error

    def _refused(self, error: Exception) -> NearlineError:
        return NearlineError("SqlSource.query", self.query, f"the database says: {str(error).strip()}")
