"""The state whose bytes are golden: made anywhere that the folds run, without pytest."""

from __future__ import annotations

import hashlib
from typing import Any, cast

import numpy as np

from nearline.app.event_types import event_types
from nearline.features.suppression import SuppressionLists
from nearline.pipeline.discovery import discover
from nearline.schema.clock import DAY, HOUR
from nearline.schema.components import Feature
from nearline.schema.event import Events, Role, empty_events
from nearline.schema.kinds import Kinds
from nearline.stores.state import MemoryState

KINDS = Kinds(event_types(["seen", "view", "click", "add_to_cart", "rate", "purchase", "search", "dislike"]))


def events(n: int = 100_000) -> Events:
    """Two months of a small shop from raw bits, which NumPy never changes; a fifth of it is late."""
    bits = np.random.PCG64(2024).random_raw(n * 11).reshape(11, n)

    def below(column: int, most: int) -> Any:
        return (bits[column] >> np.uint64(20)) % np.uint64(most)

    out = empty_events(n)
    out["offset"] = np.arange(n)
    late = np.where(below(0, 5) == 0, below(1, 2 * DAY), 0).astype(np.int64)
    out["ts"] = 1_700_000_000_000 + np.arange(n) * (60 * DAY // n) + below(2, HOUR).astype(np.int64) - late
    # Some come often, most seldom: hot rows expire, rings go round.
    out["user"] = (below(3, 2000) * below(3, 7) + np.uint64(1)) << np.uint64(40)
    out["item"] = below(4, 500) * below(5, 3) << np.uint64(40)
    out["category"], out["brand"] = below(4, 500) % np.uint64(23), below(4, 500) % np.uint64(11)
    out["kind"] = below(6, len(KINDS) + 1)
    out["role"], out["weight"] = KINDS.role[out["kind"]], KINDS.weight[out["kind"]]
    out["price"], out["value"] = below(7, 90_000), below(8, 50_000)
    out["rating"] = np.where(out["role"] == 3, below(9, 501), 0)
    words = (bits[10][:, None] >> np.array([4, 12, 20, 28], np.uint64)) % np.uint64(7)
    out["surface"] = below(10, 2**40) % np.uint64(7)
    out["words"] = np.where((out["role"] == Role.SEARCH)[:, None], words, 0)
    return out


def folded() -> dict[str, str]:
    """Return the digest of each array of a state that has folded the events."""
    classes = cast(dict[str, type[Feature]], discover("nearline.features", ("name", "columns", "read")))
    folds = [fold for kind in classes.values() for fold in kind().folds]
    state = MemoryState(folds, [SuppressionLists(KINDS)])
    for batch in np.array_split(events(), 7):
        state.apply(batch)
    dump = state.dump()
    return {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in dump.items() if name != "offset"}


if __name__ == "__main__":
    for place, digest in folded().items():
        print(place, digest)
