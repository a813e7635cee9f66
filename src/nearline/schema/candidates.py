"""Candidates: structs of arrays that travel through the stages of a request."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nearline.schema.kernel import b1, f4, i4, kernel

I32 = NDArray[np.int32]
F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What one source returned, best first.

    Attributes:
        items: slots, `[n] int32`.
        scores: the source's own scale, `[n] float32`.
        because: slot of the item that is the reason, -1 for none, `[n] int32`.
    """

    items: I32
    scores: F32
    because: I32


@kernel(i4[::1], f4[:, ::1], f4[:, ::1], i4[::1], i4[::1], i4[::1], i4[::1], f4[:, ::1], f4[:, ::1], i4[::1], i4[::1])
def _take(
    items: I32,
    retrieval: F32,
    ranks: F32,
    source: I32,
    because: I32,
    places: I32,
    to_items: I32,
    to_retrieval: F32,
    to_ranks: F32,
    to_source: I32,
    to_because: I32,
) -> int:
    """Copy what is at places; return how many could be: one that is out of range ends it."""
    for i in range(len(places)):
        place = places[i]
        if place < 0 or place >= len(items):
            return i
        to_items[i] = items[place]
        to_source[i] = source[place]
        to_because[i] = because[place]
        for s in range(retrieval.shape[1]):
            to_retrieval[i, s] = retrieval[place, s]
            to_ranks[i, s] = ranks[place, s]
    return len(places)


@kernel(i4[::1], b1[::1], b1[::1], i4[::1])
def _left(items: I32, keep: NDArray[np.bool_], available: NDArray[np.bool_], places: I32) -> int:
    n = 0
    for i in range(len(items)):
        places[n] = i
        n += keep[i] and available[items[i]]
    return n


NOTHING = Retrieved(np.empty(0, np.int32), np.empty(0, np.float32), np.empty(0, np.int32))


@dataclass(frozen=True, slots=True)
class Candidates:
    """The merged, de-duplicated candidates of a request.

    Attributes:
        items: slots, `[n] int32`.
        retrieval: each source's score, 0 where it did not retrieve, `[n, n_sources] float32`.
        ranks: 1 / rank within each source, 0 where it did not retrieve, `[n, n_sources] float32`.
        source: place of the source that ranked it highest, `[n] int32`.
        because: that source's reason, a slot or -1, `[n] int32`.
    """

    items: I32
    retrieval: F32
    ranks: F32
    source: I32
    because: I32

    def __len__(self) -> int:
        """Return the number of candidates."""
        return len(self.items)

    def take(self, places: NDArray[np.intp] | I32 | NDArray[np.bool_]) -> Candidates:
        """Return the candidates at places (or where a mask is true), in that order.

        Raises:
            IndexError: a place is none of theirs.
        """
        if places.dtype != np.int32:
            places = (np.flatnonzero(places) if places.dtype == np.bool_ else places).astype(np.int32)
        n, width = len(places), self.retrieval.shape[1]
        taken = Candidates(
            np.empty(n, np.int32),
            np.empty((n, width), np.float32),
            np.empty((n, width), np.float32),
            np.empty(n, np.int32),
            np.empty(n, np.int32),
        )
        copied = _take(
            self.items,
            self.retrieval,
            self.ranks,
            self.source,
            self.because,
            places,
            taken.items,
            taken.retrieval,
            taken.ranks,
            taken.source,
            taken.because,
        )
        if copied < n:
            raise IndexError(f"place {places[copied]} of {len(self.items)} candidates")
        return taken

    def sifted(self, keep: NDArray[np.bool_], available: NDArray[np.bool_]) -> Candidates:
        """Return those to keep (`[n] bool`) that are available (`[n_slots] bool`), in order; itself where that is all."""
        places = np.empty(len(self.items) + 1, np.int32)
        n = _left(self.items, np.ascontiguousarray(keep), available, places)
        return self if n == len(self.items) else self.take(places[:n])


@dataclass(frozen=True, slots=True)
class Ranked:
    """Candidates with scores, best first.

    Attributes:
        candidates: in ranked order.
        scores: combined by the application's weights, `[n] float32`.
        outcomes: probability of each declared outcome, `[n_outcomes, n] float32`.
    """

    candidates: Candidates
    scores: F32
    outcomes: F32 = field(default_factory=lambda: np.empty((0, 0), np.float32))

    def take(self, places: NDArray[np.intp] | I32 | NDArray[np.bool_]) -> Ranked:
        """Return the ranked candidates at places, in that order."""
        outcomes = self.outcomes[:, places] if self.outcomes.size else self.outcomes
        return Ranked(self.candidates.take(places), self.scores[places], outcomes)
