"""What sources learned of items as vectors: exported beside a release, and indexed in it or in a store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nearline.app.tenant import Tenant
from nearline.schema.components import Arrays
from nearline.schema.errors import StoreUnavailableError
from nearline.schema.vectors import HeldIndex, Keys, Vectors, embedding_of
from nearline.stores.vector_index import Indexes, fill

Say = Callable[[str], None]


def _embeddings(arrays: Mapping[str, Arrays]) -> Iterator[tuple[str, Keys, Vectors]]:
    for name, own in list(arrays.items()):
        if "vectors" in own and "keys" in own:
            yield name, own["keys"], own["vectors"].astype(np.float32, copy=False)


def export_embeddings(tenant: Tenant, version: str, arrays: Mapping[str, Arrays]) -> None:
    """Write item vectors as Parquet beside a release: item_key uint64, vector list of float32."""
    for name, keys, vectors in _embeddings(arrays):
        listed = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
        out = pa.BufferOutputStream()
        pq.write_table(pa.table({"item_key": keys, "vector": listed}), out)
        tenant.releases.attach(version, f"embeddings/{name}.parquet", out.getvalue().to_pybytes())


def fill_index(tenant: Tenant, indexes: Indexes, arrays: MutableMapping[str, Arrays], say: Say) -> None:
    """Index the vectors of sources that ask: in a store, or as one more array, `index`, where it takes long to build.

    Where a store is away, the first server that finds it fills it.
    """
    asking = {source.name for source in tenant.parts.sources if getattr(source, "indexed", False)}
    try:
        for name, keys, vectors in _embeddings(arrays):
            if name not in asking:
                continue
            index = indexes.of(embedding_of(name, keys, vectors))
            filled = fill(index, keys, vectors)
            if isinstance(index, HeldIndex):
                if (packed := index.packed()) is not None:
                    arrays[name] = arrays[name] | {"index": packed}
                say(f"index of {name}: {index.kind}, since {index.why}")
            elif filled:
                say(f"{len(keys):,} vectors of {name} put into the index")
    except StoreUnavailableError as error:
        say(f"the index of vectors does not answer; servers put the vectors in once it does: {error}")
    finally:
        indexes.close()
