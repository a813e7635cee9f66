"""The index of vectors, where one is named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nearline.schema.errors import StoreUnavailableError
from nearline.schema.vectors import Embedding
from nearline.stores.adapters import shown
from nearline.stores.finding import Finding

if TYPE_CHECKING:
    from nearline.embedded.doctor import System


def look(system: System) -> Iterator[Finding]:
    """Yield whether it answers."""
    indexes = system.tenant.indexes()
    if indexes is None:
        return
    url = shown(system.tenant.settings.storage.vectors)
    try:
        indexes.of(Embedding("none", "0", 1)).whole()  # any question does
    except StoreUnavailableError as error:
        why, remedy = "lists are made without the source als", "start the index, or name another: [storage] vectors"
        if url.endswith(".db"):
            why, remedy = "a file is one process's at a time", "look while no server runs, or name a server of Milvus"
        yield Finding("warning" if url.endswith(".db") else "wrong", "vectors", str(error), why, remedy)
    else:
        yield Finding("ok", "vectors", url)
    finally:
        indexes.close()
