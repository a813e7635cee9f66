"""A live index: what a release brought, and what came and went since, for the very next query.

The release's vectors are one segment. What is put goes to a flat tail, what is dropped or put anew leaves a tombstone.
`renew` scans the tail's vectors into a second segment, and that one into a copy of the first once it is large; into the
first at once where that is a scan. Segments never change: a search takes the ones that there are in one read, and waits
for nobody.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.schema.vectors import Embedding, Keys, Packed, Vectors, Verdict
from nearline.stores.key_index import KeyIndex
from nearline.stores.nearest.library import library
from nearline.stores.nearest.packing import Header, pack, unpack
from nearline.stores.nearest.scan import Scan
from nearline.stores.nearest.segment import Found, Rows, Segment, merged
from nearline.stores.nearest.wanted import Wanted, choice

logger = logging.getLogger("nearline.vectors")
TAIL = 256
"""Vectors in the tail from which `renew` scans them in; so does who puts as many at once."""
LONG = 4_096
"""Vectors in the tail from which who puts more does."""
SIDE = 32_768
"""Vectors in the second segment from which they are put into a copy of the first."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a search looks at.

    Attributes:
        main: rows from 0.
        side: rows from where `main` ends.
        keys: of all rows, with room behind.
        dead: whether a row is a tombstone; changed where it lies.
        late: vectors of the rows behind `main`, with room behind.
        n: rows in all; those behind `side` are the tail.
    """

    main: Segment
    side: Scan
    keys: Keys
    dead: NDArray[np.bool_]
    late: Vectors
    n: int

    @property
    def tail(self) -> int:
        """The tail's first row."""
        return len(self.main) + len(self.side)


class LiveIndex:
    """The port in this process.

    Args:
        embedding: what it holds.
        asked: the parameters of its URL.
    """

    def __init__(self, embedding: Embedding, asked: Wanted) -> None:
        self._embedding, self._asked = embedding, asked
        self._seen: _Seen | None = None
        self._early: dict[int, Vectors] = {}
        self._lock = threading.RLock()
        self._growing = threading.Lock()
        # Where keys are: those of the release in order, and in which row what came later was put last.
        self._sorted: Keys = np.empty(0, np.uint64)
        self._order: Rows = np.empty(0, np.int64)
        self._places, self._rows = KeyIndex(), np.empty(0, np.int64)
        self._gone = 0
        self.floor, self.why, self.kind = 0.0, "", ""
        self.missing: tuple[str, ...] = ()
        self.verdict: Verdict | None = None

    def whole(self) -> bool:
        """Return whether it has been filled."""
        return self._seen is not None

    def hold(self, keys: Keys, vectors: Vectors, packed: Packed | None = None) -> None:
        """Take all vectors, with the index of them that a release brought; it is built where there is none that fits."""
        chosen = choice(self._asked, len(keys))
        main = None if packed is None or chosen.index == "scan" else self._read(packed, len(keys), chosen.index)
        if main is None:
            main = self._built(chosen.index, vectors)
        self.kind, self.why = chosen.index, chosen.why
        self.floor = 0.0 if chosen.index in ("scan", "flat") else self._asked.floor
        logger.info("index of vectors: %s, since %s", chosen.index, chosen.why, extra={"embedding": self._embedding.name})
        late = np.empty((0, vectors.shape[1]), np.float32)
        with self._lock:
            self._order = np.argsort(keys)
            self._sorted = keys[self._order]
            self._places, self._rows, self._gone = KeyIndex(), np.empty(0, np.int64), 0
            self._seen = _Seen(main, Scan.blank(vectors.shape[1]), keys, np.zeros(len(keys), np.bool_), late, len(keys))

    def instant(self, n: int, packed: Packed | None) -> bool:
        """Return whether n vectors are held within a second or so."""
        return packed is not None or choice(self._asked, n).index == "scan"

    def _read(self, packed: Packed, n: int, kind: str) -> Segment | None:
        try:
            header, body = unpack(packed, self._embedding, n)
            if header.index == kind:
                return library(kind).read(body, self._asked.nprobe)
        except NearlineError as error:
            logger.error("the index that came with the release is not used", extra={"error": str(error)})
        else:
            logger.warning("the release brought an index of another kind; it is built anew", extra={"wanted": kind})
        return None

    def _built(self, kind: str, vectors: Vectors) -> Segment:
        if kind == "scan":
            return Scan.of(vectors)
        began = time.monotonic()
        segment = library(kind).of(kind, vectors, self._asked.nprobe)
        seconds = round(time.monotonic() - began, 1)
        logger.info("index of vectors built", extra={"index": kind, "vectors": len(vectors), "seconds": seconds})
        return segment

    def packed(self) -> Packed | None:
        """Return it as bytes that travel with its release; `None` where building it takes no longer than reading."""
        from_main = getattr(self._seen.main, "packed", None) if self._seen is not None else None
        if from_main is None or self._seen is None:
            return None
        e = self._embedding
        return pack(Header(e.name, e.version, e.dimensions, self.kind, len(self._seen.main)), from_main())

    def put(self, keys: Keys, vectors: Vectors) -> None:
        """Put vectors in, or in the place of those that items had."""
        with self._lock:
            if self._seen is None:
                self._early.update(zip(keys.tolist(), np.array(vectors, np.float32), strict=True))
                return
            if len(keys) > 1:  # the last one of a key counts
                _, last = np.unique(keys[::-1], return_index=True)
                kept = np.sort(len(keys) - 1 - last)
                keys, vectors = keys[kept], vectors[kept]
            self._bury(self._seen, keys)
            self._append(self._seen, keys, vectors)
            # As many at once are what a catalogue brought, not what comes one by one: no search is to meet them in the tail.
            if len(keys) >= TAIL or self._seen.n - self._seen.tail >= LONG:
                self._scan_in(self._seen)

    def drop(self, keys: Keys) -> None:
        """Take items out."""
        with self._lock:
            if self._seen is None:
                for key in keys.tolist():
                    self._early.pop(key, None)
            else:
                self._bury(self._seen, keys)

    def finish(self) -> None:
        """Build the index of what was put."""
        with self._lock:
            if self._seen is None:
                own = list(self._early.values())
                vectors = np.array(own, np.float32).reshape(len(own), self._embedding.dimensions)
                self.hold(np.array(list(self._early), np.uint64), vectors)
                self._early = {}

    def nearest(self, query: Vectors, limit: int) -> tuple[Keys, Vectors]:
        """Return the items nearest to a query; tombstones are passed over."""
        seen = self._seen
        if seen is None:
            raise StoreUnavailableError(f"the index of {self._embedding.name} is not whole yet")
        gone = self._gone
        asked = limit + min(gone, limit // 8)
        while True:
            rows, scores = _search(seen, query, asked)
            everything = len(rows) < asked or asked >= seen.n
            if gone:
                alive = ~seen.dead[rows]
                rows, scores = rows[alive], scores[alive]
            if everything or len(rows) >= limit:
                return seen.keys[rows[:limit]], scores[:limit]
            asked = min(2 * asked, seen.n)

    def __len__(self) -> int:
        """Return how many items are in it."""
        seen = self._seen
        return len(self._early) if seen is None else seen.n - self._gone

    def close(self) -> None:
        """Nothing is held that others need."""

    def renew(self) -> None:
        """Merge what came into segments, beside the searches; the large ones on a thread of its own."""
        with self._lock:
            seen = self._seen
            if seen is None or seen.n - seen.tail < TAIL:
                return
            self._scan_in(seen)
            due = len(seen.side) >= SIDE
        if due and not self._growing.locked():
            threading.Thread(target=self.merge, name="nearline-merging", daemon=True).start()

    def merge(self) -> None:
        """Put the second segment into a copy of the first, which takes the first one's place."""
        with self._growing:
            seen = self._seen
            if seen is None or not len(seen.side):
                return
            moved = len(seen.side)
            main = seen.main.grown(seen.late[:moved])
            with self._lock:
                now = self._seen
                assert now is not None
                # Others put more meanwhile: what is behind the moved rows stays behind them.
                late = now.late[moved : now.n - len(now.main)].copy()
                side = Scan.blank(late.shape[1]).grown(late[: len(now.side) - moved])
                self._seen = replace(now, main=main, side=side, late=late)

    def _scan_in(self, seen: _Seen) -> None:
        base = len(seen.main)
        came = seen.late[seen.tail - base : seen.n - base]
        if isinstance(seen.main, Scan) and seen.main.whole:
            # One scan of all costs less than two and a merge; copying its codes takes some milliseconds at most.
            self._seen = replace(seen, main=seen.main.grown(came), late=seen.late[:0])
        else:
            self._seen = replace(seen, side=seen.side.grown(came))

    def _append(self, seen: _Seen, keys: Keys, vectors: Vectors) -> None:
        first, n, end = seen.n - len(seen.main), seen.n + len(keys), seen.n - len(seen.main) + len(keys)
        held, dead, late = seen.keys, seen.dead, seen.late
        if n > min(len(held), len(dead)):
            more = len(keys) + seen.n // 8 + 1_024
            held = np.concatenate((held[: seen.n], np.zeros(more, np.uint64)))
            dead = np.concatenate((dead[: seen.n], np.zeros(more, np.bool_)))
        if end > len(late):
            late = np.concatenate((late[:first], np.empty((len(keys) + first // 2 + 1_024, late.shape[1]), np.float32)))
        # Behind what a search under way looks at.
        held[seen.n : n], late[first:end] = keys, vectors
        places = self._places.intern(keys)
        if len(self._places) > len(self._rows):
            self._rows = np.concatenate((self._rows, np.zeros(len(self._places) + 1_024, np.int64)))
        self._rows[places] = np.arange(seen.n, n)
        self._seen = replace(seen, keys=held, dead=dead, late=late, n=n)

    def _bury(self, seen: _Seen, keys: Keys) -> None:
        """Leave tombstones where items are."""
        at = np.searchsorted(self._sorted, keys).clip(max=len(self._sorted) - 1) if len(self._sorted) else np.empty(0, np.int64)
        first = self._order[at[self._sorted[at] == keys]] if len(at) else at
        places = self._places.find(keys)
        rows = np.unique(np.concatenate((first, self._rows[places[places >= 0]])))
        rows = rows[~seen.dead[rows]]
        seen.dead[rows] = True
        self._gone += len(rows)


def _search(seen: _Seen, query: Vectors, limit: int) -> Found:
    """Return the nearest of all segments, tombstones among them."""
    rows, scores = seen.main.search(query, limit)
    base, tail = len(seen.main), seen.tail
    if seen.n == base:
        return rows, scores
    own, near = seen.side.search(query, limit)
    found = merged((rows, scores), (own + base, near), limit)
    if seen.n == tail:
        return found
    late = seen.late[tail - base : seen.n - base] @ query
    order = np.argsort(-late, kind="stable")
    return merged(found, (order + tail, late[order]), limit)
