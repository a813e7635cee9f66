"""Shards: an index in parts by key, asked side by side, each for as long as a search may take; what came is merged."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

import numpy as np

from nearline.schema.errors import StoreUnavailableError
from nearline.schema.vectors import HeldIndex, Keys, Packed, VectorIndex, Vectors, Verdict

logger = logging.getLogger("nearline.vectors")
Answer = tuple[Keys, Vectors]
LENGTH = 8
"""Bytes of the length before each shard's."""


class ShardedIndex:
    """Shards behind the port. They may be anywhere, as long as each is a `VectorIndex` of its part of the embedding.

    A shard that has not answered since its last search is passed over until it has. What a search went without is in `missing`.

    Args:
        shards: an item is in the one of the number that its key leaves, divided by how many there are.
        timeout: seconds that a search may take.
    """

    def __init__(self, shards: Sequence[VectorIndex], timeout: float) -> None:
        self.shards, self._timeout = tuple(shards), timeout
        self._pools = [ThreadPoolExecutor(1, f"nearline-shard-{place}") for place in range(len(shards))]
        self._late: dict[int, Future[Answer]] = {}
        self.missing: tuple[str, ...] = ()
        self.verdict: Verdict | None = None
        self.kind, self.why, self.floor = "", "", max(shard.floor for shard in shards)

    def nearest(self, query: Vectors, limit: int) -> Answer:
        """Return the nearest of what shards answered in time.

        Raises:
            StoreUnavailableError: none did.
        """
        began = time.monotonic()
        asked = {
            place: pool.submit(self.shards[place].nearest, query, limit)
            for place, pool in enumerate(self._pools)
            if place not in self._late or self._late[place].done()
        }
        wait(asked.values(), max(0.0, self._timeout - (time.monotonic() - began)))
        answers, errors = [], []
        for place, future in asked.items():
            if not future.done():
                self._late[place] = future
            elif (error := future.exception()) is None:
                answers.append(future.result())
                self._late.pop(place, None)
                continue
            elif not isinstance(error, StoreUnavailableError):
                raise error
            errors.append(place)
        missing = {*errors, *(range(len(self.shards)) - asked.keys())}
        self._say(tuple(f"shard {place} of {len(self.shards)}" for place in sorted(missing)))
        if not answers:
            raise StoreUnavailableError(f"no shard of {len(self.shards)} answered within {self._timeout:g} s")
        keys = np.concatenate([keys for keys, _ in answers])
        scores = np.concatenate([scores for _, scores in answers])
        best = np.argsort(-scores, kind="stable")[:limit]
        return keys[best], scores[best]

    def _say(self, missing: tuple[str, ...]) -> None:
        if missing != self.missing:
            self.missing = missing
            if missing:
                logger.warning("shards of the index do not answer; lists are made without their items: %s", ", ".join(missing))
            else:
                logger.info("all shards of the index answer")

    def _parts(self, keys: Keys) -> list[tuple[VectorIndex, np.ndarray[tuple[int], np.dtype[np.intp]]]]:
        """Return each shard with the places of the keys that are its."""
        owner = keys % np.uint64(len(self.shards))
        return [(shard, np.flatnonzero(owner == place)) for place, shard in enumerate(self.shards)]

    def whole(self) -> bool:
        """Return whether all shards are."""
        return all(shard.whole() for shard in self.shards)

    def put(self, keys: Keys, vectors: Vectors) -> None:
        """Put vectors into the shards of their items."""
        for shard, own in self._parts(keys):
            if len(own):
                shard.put(keys[own], vectors[own])

    def drop(self, keys: Keys) -> None:
        """Take items out of their shards."""
        for shard, own in self._parts(keys):
            if len(own):
                shard.drop(keys[own])

    def finish(self) -> None:
        """Have all shards finish."""
        for shard in self.shards:
            shard.finish()
        self._note()

    def renew(self) -> None:
        """Have all shards do what is better done beside searches."""
        for shard in self.shards:
            shard.renew()

    def __len__(self) -> int:
        """Return how many items are in all shards."""
        return sum(len(shard) for shard in self.shards)

    def close(self) -> None:
        """Let go of threads and shards; a search under way is not waited for."""
        for pool in self._pools:
            pool.shutdown(wait=False, cancel_futures=True)
        for shard in self.shards:
            shard.close()

    def hold(self, keys: Keys, vectors: Vectors, packed: Packed | None = None) -> None:
        """Take all of an embedding, with the shards' indexes where a release brought as many."""
        brought = _split(packed, len(self.shards))
        for (shard, own), one in zip(self._parts(keys), brought, strict=True):
            assert isinstance(shard, HeldIndex)
            shard.hold(keys[own], vectors[own], one)
        self._note()

    def instant(self, n: int, packed: Packed | None) -> bool:
        """Return whether all shards are held within a second or so."""
        brought = _split(packed, len(self.shards))
        return all(
            isinstance(shard, HeldIndex) and shard.instant(-(-n // len(self.shards)), one)
            for shard, one in zip(self.shards, brought, strict=True)
        )

    def packed(self) -> Packed | None:
        """Return the shards' indexes one behind the other, each behind its length."""
        parts = [shard.packed() for shard in self.shards if isinstance(shard, HeldIndex)]
        if all(part is None for part in parts):
            return None
        out = []
        for part in parts:
            own = np.empty(0, np.uint8) if part is None else part
            out += [np.frombuffer(len(own).to_bytes(LENGTH, "little"), np.uint8), own]
        return np.concatenate(out)

    def _note(self) -> None:
        self.floor = max(shard.floor for shard in self.shards)
        held = [shard for shard in self.shards if isinstance(shard, HeldIndex)]
        self.kind, self.why = (held[0].kind, held[0].why) if held else ("", "")


def _split(packed: Packed | None, n: int) -> list[Packed | None]:
    """Return the parts of what `packed` returned; none where there are not as many."""
    parts: list[Packed | None] = []
    while packed is not None and len(packed) >= LENGTH:
        size = int.from_bytes(packed[:LENGTH].tobytes(), "little")
        parts.append(packed[LENGTH : LENGTH + size] if size else None)
        packed = packed[LENGTH + size :]
    return parts if len(parts) == n else [None] * n
