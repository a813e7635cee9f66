"""Vectors of items outside the process: which they are, and what an index of them can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_hexdigest, xxh3_64_intdigest

Keys = NDArray[np.uint64]
Vectors = NDArray[np.float32]
Packed = NDArray[np.uint8]
"""An index as bytes: a header that says of which embedding it is, then what its kind needs."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """What an index holds.

    Attributes:
        name: of whoever made it, such as a source's.
        version: digest of all of it, so that no query ever meets another embedding's vectors.
        dimensions: of a vector.
    """

    name: str
    version: str
    dimensions: int


def embedding_of(name: str, keys: Keys, vectors: Vectors) -> Embedding:
    """Return what vectors (`[n, d] float32`) of items (keys, `[n] uint64`) are called."""
    seed = xxh3_64_intdigest(np.ascontiguousarray(keys).data)
    return Embedding(name, xxh3_64_hexdigest(np.ascontiguousarray(vectors).data, seed), vectors.shape[1])


NEAREST = 100
"""Neighbours that canary queries ask for."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What canary queries came to: items' own vectors, asked for and compared with all products.

    Attributes:
        recall: mean share of the true neighbours that were found; 1 where there was nothing to ask.
        worst: the least mean of a category, and its key, 0 for those without a category.
        missing: shards that did not answer.
        floor: recall from which it passes; a category passes from half of it.
    """

    recall: float
    worst: float
    category: int
    missing: tuple[str, ...]
    floor: float

    @property
    def passed(self) -> bool:
        """Whether the index may be asked."""
        return self.recall >= self.floor and self.worst >= self.floor / 2 and not self.missing

    def __str__(self) -> str:
        """Return it in words."""
        lost = f"; without {', '.join(self.missing)}" if self.missing else ""
        lowest = f"lowest in a category {self.worst:.3f} ({self.category:#x})"
        return f"recall@{NEAREST} {self.recall:.3f}, {lowest}, floor {self.floor:g}{lost}"


class VectorIndex(Protocol):
    """Vectors of one embedding by item. Any number of threads may ask; what several put is the same.

    Every method but `close` raises StoreUnavailableError where the index does not answer in time.

    Attributes:
        floor: recall of canary queries below which it is not to be asked; 0 where it can't miss any.
        missing: names of the shards that the last search went without.
        verdict: of the canary queries since it was filled; `None` where it was not asked any.
    """

    floor: float
    missing: tuple[str, ...]
    verdict: Verdict | None

    def whole(self) -> bool:
        """Return whether somebody has put all of the embedding in and said so; from then on `nearest` can be asked."""
        ...

    def put(self, keys: Keys, vectors: Vectors) -> None:
        """Put vectors (`[n, d] float32`) in, or in the place of those that items (`[n] uint64`) had."""
        ...

    def drop(self, keys: Keys) -> None:
        """Take items out; those that are not there change nothing."""
        ...

    def finish(self) -> None:
        """Say that it is whole, to all who ask, and drop embeddings of that name but for the two that were last whole."""
        ...

    def nearest(self, query: Vectors, limit: int) -> tuple[Keys, Vectors]:
        """Return at most `limit` items by inner product with a query (`[d] float32`), best first: keys and products, `[n]`."""
        ...

    def renew(self) -> None:
        """Do what is better done beside searches; called about once a second by one thread."""
        ...

    def __len__(self) -> int:
        """Return how many items are in it."""
        ...

    def close(self) -> None:
        """Let go of connections. Closing twice is fine."""
        ...


@runtime_checkable
class HeldIndex(VectorIndex, Protocol):
    """An index in this process, which a release can bring along.

    Attributes:
        kind, why: what it is, and why it is that.
    """

    kind: str
    why: str

    def hold(self, keys: Keys, vectors: Vectors, packed: Packed | None = None) -> None:
        """Take all of an embedding (`[n] uint64`, `[n, d] float32`), with the index of it where a release brought one.

        What does not fit, is damaged, or is missing is built, which may take minutes.
        """
        ...

    def instant(self, n: int, packed: Packed | None) -> bool:
        """Return whether n vectors are held within a second or so."""
        ...

    def packed(self) -> Packed | None:
        """Return it as bytes; `None` where building it takes no longer than reading them."""
        ...
