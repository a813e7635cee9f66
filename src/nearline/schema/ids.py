"""Stable 64-bit keys of the ids that clients use.

The log and the state carry keys; a dense slot is private to one process. Key 0 means "none".
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import xxhash
from numpy.typing import NDArray

SESSION = "session:"
"""Before a session's id, so that it is nobody's."""


def _hash(identifier: str) -> int:
    return xxhash.xxh3_64_intdigest(identifier.encode())


def key(identifier: str) -> int:
    """Return the 64-bit key of an id: XXH3 of its UTF-8 bytes; 0 for the empty id."""
    return _hash(identifier) if identifier else 0


def keys(identifiers: Iterable[str], before: str = "") -> NDArray[np.uint64]:
    """Return the keys of ids, each with what stands `before` it, `[n] uint64`; 0 for the empty ones."""
    names = [*identifiers]
    texts = map(before.__add__, names) if before else names
    hashed = np.fromiter(map(xxhash.xxh3_64_intdigest, map(str.encode, texts)), np.uint64, len(names))
    return hashed * np.fromiter(map(bool, names), np.bool_, len(names))


def visitor_keys(user_ids: Iterable[str], session_ids: Iterable[str]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return the keys of who acts, and of the sessions alone, each `[n] uint64`."""
    users, sessions = keys(user_ids), keys(session_ids, SESSION)
    return np.where(users == 0, sessions, users), sessions


@lru_cache(1 << 16)
def key32(name: str) -> int:
    """Return the 32-bit key of a category or brand; 0 for none. Collisions are refused when an item is registered."""
    return (_hash(name) & 0xFFFFFFFF) or 1 if name else 0


@lru_cache(1 << 16)
def visitor_key(user_id: str, session_id: str) -> int:
    """Return the key of who acts: the user or, when anonymous, the session; one event asks for it several times."""
    return _hash(user_id) if user_id else (_hash(SESSION + session_id) if session_id else 0)


def partition_of(visitor: int, partitions: int) -> int:
    """Return the partition that a visitor's events go to; the remainder of his key, so that whoever has the key can tell."""
    return visitor % partitions
