"""Vectors in Milvus: a collection for each embedding, whole once it has an alias that says when it became so."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

import numpy as np
from grpc import RpcError
from pymilvus import DataType, MilvusClient, MilvusException

from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.schema.vectors import Embedding, Keys, Vectors, Verdict
from nearline.stores.adapters import shown
from nearline.stores.vector_index import VectorPlace

T = TypeVar("T")
PATIENCE = 3.0
"""Seconds for connecting, and for questions that no request waits for."""
WRITING = 60.0
"""Seconds that a page, or making it all durable, may take."""
MOST = 16_384
"""Items that Milvus returns at most."""
KEPT = 2
"""Embeddings of a name that are kept: what serves, and what is about to."""
FLOOR = 0.8
"""Recall of canary queries from which it is asked."""
INDEXES = ("FLAT", "AUTOINDEX")
REMEDY = "write milvus://user:password@host:19530/database or milvus:///folder/file.db, with ?index=AUTOINDEX or ?secure=true"
# What it logs with a traceback, the errors raised here say in a line.
for _name in ("pymilvus", "milvus_lite"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


def open_index(place: VectorPlace, embedding: Embedding) -> MilvusIndex:
    """Return the index of an embedding; it connects when it is first asked.

    Raises:
        NearlineError: the URL is none of Milvus.
    """
    return MilvusIndex(place, embedding)


def _connecting(url: str) -> tuple[dict[str, Any], str]:
    """Return what the client connects with, and the kind of index.

    Raises:
        NearlineError: it is no such URL.
    """
    try:
        parts = urlsplit(url)
        given = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
        host, port = parts.hostname, parts.port or 19530
    except ValueError:
        raise NearlineError("storage.vectors", shown(url), REMEDY) from None
    kind, secure = given.get("index", "FLAT").upper(), given.get("secure", "false")
    known = set(given) <= {"index", "secure"} and kind in INDEXES and secure in ("true", "false")
    if not known or (host is None and not parts.path.endswith(".db")):
        raise NearlineError("storage.vectors", shown(url), REMEDY)
    if host is None:
        return {"uri": unquote(parts.path)}, kind
    token = (
        f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else os.environ.get("MILVUS_TOKEN", "")
    )
    uri = f"{'https' if secure == 'true' else 'http'}://{host}:{port}"
    return {"uri": uri, "token": token, "db_name": unquote(parts.path[1:])}, kind


def _word(name: str) -> str:
    """Return a name in the signs that Milvus allows, different for each."""
    return "".join(sign if sign.isascii() and sign.isalnum() else f"_{ord(sign):x}_" for sign in name)


class MilvusIndex:
    """The port over one collection, `nearline_<tenant>_<embedding>_<version>`."""

    def __init__(self, place: VectorPlace, embedding: Embedding) -> None:
        self._how, self._kind = _connecting(place.url)
        self._shown, self._timeout, self._dimensions = shown(place.url), place.timeout, embedding.dimensions
        self._family = f"nearline_{_word(place.tenant)}_{_word(embedding.name)}_"
        self._name = self._family + _word(embedding.version)
        self._client: MilvusClient | None = None
        self.floor, self.missing = FLOOR, ()
        self.verdict: Verdict | None = None
        self._lock = threading.Lock()

    def _ask(self, ask: Callable[[MilvusClient], T]) -> T:
        """Return an answer.

        Raises:
            StoreUnavailableError: there is none, or Milvus refuses.
        """
        try:
            with self._lock:
                if self._client is None:
                    self._client = MilvusClient(**self._how, timeout=PATIENCE, dedicated=True)
                client = self._client
            return ask(client)
        except (MilvusException, RpcError) as error:
            said = error.message if isinstance(error, MilvusException) else getattr(error, "details", error.__str__)()
            raise StoreUnavailableError(f"{self._shown}: {' '.join(str(said).split())[:300]}") from None

    def whole(self) -> bool:
        """Return whether it has been marked, and have it loaded."""

        def ask(client: MilvusClient) -> bool:
            if not client.has_collection(self._name, timeout=PATIENCE) or not self._marks(client, self._name):
                return False
            self._warm(client)
            return True

        return self._ask(ask)

    def put(self, keys: Keys, vectors: Vectors) -> None:
        """Put vectors in, or in the place of those that items had."""
        rows = [{"key": key, "vector": vector} for key, vector in zip(keys.view(np.int64).tolist(), vectors, strict=True)]

        def ask(client: MilvusClient) -> None:
            self._make(client)
            client.upsert(self._name, rows, timeout=WRITING)

        if rows:
            self._ask(ask)

    def drop(self, keys: Keys) -> None:
        """Take items out."""
        self._ask(lambda client: client.delete(self._name, ids=keys.view(np.int64).tolist(), timeout=WRITING))

    def finish(self) -> None:
        """Mark it whole, and drop older ones."""

        def ask(client: MilvusClient) -> None:
            self._make(client)
            client.flush(self._name, timeout=WRITING)
            self._warm(client)
            client.create_alias(self._name, f"{self._name}_{time.time_ns()}", timeout=PATIENCE)
            self._drop_older(client)

        self._ask(ask)

    def nearest(self, query: Vectors, limit: int) -> tuple[Keys, Vectors]:
        """Return the items nearest to a query."""

        return self._ask(lambda client: self._search(client, query, limit, self._timeout))

    def _search(self, client: MilvusClient, query: Vectors, limit: int, timeout: float) -> tuple[Keys, Vectors]:
        (hits,) = client.search(
            self._name,
            [query],
            limit=min(limit, MOST),
            anns_field="vector",
            output_fields=["key"],
            search_params={"metric_type": "IP"},
            timeout=timeout,
        )
        return np.array(hits.ids, np.int64).view(np.uint64), np.array(hits.distances, np.float32)

    def renew(self) -> None:
        """Milvus does it by itself."""

    def __len__(self) -> int:
        """Return how many items are in it."""

        def ask(client: MilvusClient) -> int:
            if not client.has_collection(self._name, timeout=PATIENCE):
                return 0
            client.load_collection(self._name, timeout=WRITING)
            counted = client.query(self._name, output_fields=["count(*)"], consistency_level="Strong", timeout=PATIENCE)
            return int(counted[0]["count(*)"])

        return self._ask(ask)

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _make(self, client: MilvusClient) -> None:
        if client.has_collection(self._name, timeout=PATIENCE):
            return
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("key", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self._dimensions)
        index = MilvusClient.prepare_index_params()
        index.add_index("vector", index_type=self._kind, metric_type="IP")
        # Session: what was put here is found here at once; others look once it is whole.
        client.create_collection(self._name, schema=schema, index_params=index, consistency_level="Session", timeout=WRITING)

    def _warm(self, client: MilvusClient) -> None:
        """Have it in memory: the first search takes longer than a request waits."""
        client.load_collection(self._name, timeout=WRITING)
        self._search(client, np.ones(self._dimensions, np.float32), 1, WRITING)

    def _marks(self, client: MilvusClient, name: str) -> list[str]:
        aliases: list[str] = client.list_aliases(name, timeout=PATIENCE)["aliases"]
        return sorted(aliases, key=lambda alias: int(alias.rpartition("_")[2]))

    def _drop_older(self, client: MilvusClient) -> None:
        """Drop collections of the embedding's name but for those that were last whole."""
        names = [name for name in client.list_collections(timeout=PATIENCE) if name.startswith(self._family)]
        # What another embedding is called may begin the same; versions have no underscore.
        marks = {name: self._marks(client, name) for name in names if "_" not in name.removeprefix(self._family)}
        since = {name: int(own[-1].rpartition("_")[2]) if own else 0 for name, own in marks.items()}
        for name in sorted(since, key=lambda name: since[name])[:-KEPT]:
            for alias in marks[name]:
                client.drop_alias(alias, timeout=PATIENCE)
            client.drop_collection(name, timeout=WRITING)
