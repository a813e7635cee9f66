"""What is wanted of an index in this process: by the parameters of its URL, and by how many vectors there are."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from nearline.schema.errors import NearlineError
from nearline.stores.adapters import shown

SCANNED = 200_000
"""Vectors up to which all are scanned."""
LEAST = 1_000
"""Vectors below which nothing is learned about how they lie."""
FULL = 30_000_000
"""Vectors up to which each is kept at a byte a dimension; more are compressed to a fourth of that."""
LIBRARY = {"flat": "faiss", "ivf_sq8": "faiss", "ivf_pq": "faiss", "hnsw": "faiss", "scann": "scann"}
"""What each kind of index is of; it is the name of an extra too."""
KINDS = ("scan", *LIBRARY)
REMEDY = (
    f"write memory: or faiss:, with ?index={'|'.join(KINDS)}, nprobe=1..4096, shards=1..64 and floor=0..1 (recall of canary "
    "queries below which it is not asked), joined by &"
)
INSTALL = 'pip install "nearline[scann]" on Linux, or "nearline[faiss]"'
FLOOR = 0.9


@dataclass(frozen=True, slots=True)
class Wanted:
    """Parameters of a URL such as "faiss:?index=ivf_sq8&nprobe=64".

    Attributes:
        index: one of `KINDS`; "" for what suits the number of vectors.
        nprobe: lists of an inverted file or leaves of a tree that a search looks into, or what HNSW keeps in sight; 0 for
            what suits.
        shards: parts that are searched side by side.
        floor: recall of canary queries from which it is asked; below, all vectors are scanned.
    """

    index: str = ""
    nprobe: int = 0
    shards: int = 1
    floor: float = FLOOR


@dataclass(frozen=True, slots=True)
class Choice:
    """A kind of index, and why it is that one."""

    index: str
    why: str


def wanted(url: str) -> Wanted:
    """Return what a URL asks for.

    Raises:
        NearlineError: it asks for what is not there.
    """
    try:
        parts = urlsplit(url)
        given = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
        found = Wanted(
            given.pop("index", ""), int(given.pop("nprobe", 0)), int(given.pop("shards", 1)), float(given.pop("floor", FLOOR))
        )
    except ValueError:
        raise NearlineError("storage.vectors", shown(url), REMEDY) from None
    known = found.index in ("", *KINDS) and 0 <= found.nprobe <= 4096 and 1 <= found.shards <= 64 and 0 <= found.floor <= 1
    if given or not known or parts.netloc or parts.path:
        raise NearlineError("storage.vectors", shown(url), REMEDY)
    return found


def choice(asked: Wanted, n: int) -> Choice:
    """Return the kind of index for n vectors."""
    if asked.index not in ("", "scan", "flat") and n < LEAST:
        return Choice("scan", f"{n:,} vectors are few for {asked.index} (below {LEAST:,})")
    if asked.index:
        return Choice(asked.index, "the setting storage.vectors says so")
    if n <= SCANNED:
        return Choice("scan", f"{n:,} vectors are scanned in less than a list's time (up to {SCANNED:,})")
    if n > FULL and installed("faiss"):
        return Choice("ivf_pq", f"{n:,} vectors are too many for a byte a dimension (above {FULL:,})")
    for kind in ("scann", "ivf_sq8"):
        if installed(LIBRARY[kind]):
            return Choice(kind, f"{n:,} vectors are too many for a scan (above {SCANNED:,})")
    return Choice("scan", f"{n:,} vectors are many for a scan: {INSTALL} for an index of them")


def installed(library: str) -> bool:
    """Return whether a library of indexes is installed."""
    return importlib.util.find_spec(library) is not None
