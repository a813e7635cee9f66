"""The index of vectors: whether it answers, suits their number, and what its canary queries came to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.schema.vectors import Embedding, HeldIndex
from nearline.stores.adapters import shown
from nearline.stores.finding import Finding
from nearline.stores.nearest.wanted import INSTALL, LIBRARY, SCANNED, installed

if TYPE_CHECKING:
    from nearline.embedded.doctor import System


def look(system: System) -> Iterator[Finding]:
    """Yield whether it answers, and what the server says of it."""
    url = shown(system.tenant.settings.storage.vectors)
    try:
        indexes = system.tenant.indexes()
        index = indexes.of(Embedding("none", "0", 1))
    except NearlineError as error:
        yield Finding("wrong", "vectors", f"{error.field} {error.value}", "no server starts so", error.remedy)
        return
    try:
        index.whole()  # any question does
    except StoreUnavailableError as error:
        why, remedy = "lists are made without the sources that ask it", "start the index, or name another: [storage] vectors"
        if url.endswith(".db"):
            why, remedy = "a file is one process's at a time", "look while no server runs, or name a server of Milvus"
        yield Finding("warning" if url.endswith(".db") else "wrong", "vectors", str(error), why, remedy)
    else:
        yield from _served(system, url, isinstance(index, HeldIndex))
    finally:
        indexes.close()


def _served(system: System, url: str, held: bool) -> Iterator[Finding]:
    server = system.server
    items = int(server.value("nearline_catalog_items")) if server is not None else 0
    if server is not None and server.value("nearline_vectors_refused"):
        recall = server.value("nearline_vectors_recall")
        yield Finding(
            "wrong",
            "vectors",
            f"{url}: canary queries found {recall:.3f} of the nearest",
            "the index is not asked: all vectors are scanned, which takes longer the more there are",
            "look for a category or shard that is lost in the server's log; nearline train builds the index anew",
        )
    elif server is not None and server.value("nearline_vectors_shards_missing"):
        missing = int(server.value("nearline_vectors_shards_missing"))
        why, remedy = "lists are made without their items", "see the server's log for which; they are asked again by themselves"
        yield Finding("warning", "vectors", f"{url}: {missing} shards do not answer", why, remedy)
    elif held and items > SCANNED and not any(map(installed, LIBRARY.values())):
        why = f"all are scanned for each list, which is for up to {SCANNED:,}"
        yield Finding("warning", "vectors", f"{items:,} items", why, f"{INSTALL}; then train again")
    else:
        yield Finding("ok", "vectors", url)
