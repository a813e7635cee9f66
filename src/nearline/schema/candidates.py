"""Candidates: structs of arrays that travel through the stages of a request."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

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


NOTHING = Retrieved(np.empty(0, np.int32), np.empty(0, np.float32), np.empty(0, np.int32))


Said = tuple[F32, F32, I32, I32, F32]


class Candidates:
    """The merged, de-duplicated candidates of a request.

    What the sources said of them stays where it is however often they are taken and put in order, until it is read.

    Args:
        items: slots, `[n] int32`.
        retrieval: each source's score, 0 where it did not retrieve, `[n, n_sources] float32`.
        ranks: 1 / rank within each source, 0 where it did not retrieve, `[n, n_sources] float32`.
        source: place of the source that ranked it highest, `[n] int32`.
        because: that source's reason, a slot or -1, `[n] int32`.
        fusion: the reciprocal rank fusion of all sources, by which candidates are cut, `[n] float32`; 0 where not given.
    """

    __slots__ = ("_said", "items")

    def __init__(self, items: I32, retrieval: F32, ranks: F32, source: I32, because: I32, fusion: F32 | None = None) -> None:
        self.items = items
        fusion = np.zeros(len(items), np.float32) if fusion is None else fusion
        # The second is where in the first they are now, `None` where they are in its order: one value, so that a thread
        # that comes in between sees both of one time.
        self._said: tuple[Said, I32 | None] = (retrieval, ranks, source, because, fusion), None

    @property
    def retrieval(self) -> F32:
        """Each source's score, `[n, n_sources] float32`."""
        return self._read()[0]

    @property
    def ranks(self) -> F32:
        """1 / rank within each source, `[n, n_sources] float32`."""
        return self._read()[1]

    @property
    def source(self) -> I32:
        """Place of the source that ranked it highest, `[n] int32`."""
        said, places = self._said
        return said[2] if places is None else said[2].take(places)

    @property
    def because(self) -> I32:
        """That source's reason, a slot or -1, `[n] int32`."""
        said, places = self._said
        return said[3] if places is None else said[3].take(places)

    @property
    def fusion(self) -> F32:
        """The reciprocal rank fusion of all sources, `[n] float32`."""
        said, places = self._said
        return said[4] if places is None else said[4].take(places)

    def __len__(self) -> int:
        """Return the number of candidates."""
        return len(self.items)

    def take(self, places: NDArray[np.intp] | I32 | NDArray[np.bool_]) -> Candidates:
        """Return the candidates at places (or where a mask is true), in that order.

        Raises:
            IndexError: a place is none of theirs.
        """
        from nearline.schema.taking import taken  # compiled code, which whoever only declares an application need not load

        said, own = self._said
        items, at = taken(self.items, own, places)
        return self._of(items, said, at)

    def followed(self, more: Candidates) -> Candidates:
        """Return them with more behind them."""
        items = np.concatenate((self.items, more.items))
        (said, own), (others, places) = self._said, more._said
        if said is others and own is not None and places is not None:
            return self._of(items, said, np.concatenate((own, places)))
        return Candidates(items, *(np.concatenate(both) for both in zip(self._read(), more._read(), strict=True)))

    def sifted(self, keep: NDArray[np.bool_], available: NDArray[np.bool_]) -> Candidates:
        """Return those to keep (`[n] bool`) that are available (`[n_slots] bool`), in order; itself where that is all."""
        from nearline.schema.taking import left

        places = left(self.items, keep, available)
        return self if len(places) == len(self.items) else self.take(places)

    @classmethod
    def _of(cls, items: I32, said: Said, places: I32) -> Candidates:
        found = cls.__new__(cls)
        found.items, found._said = items, (said, places)
        return found

    def _read(self) -> Said:
        said, places = self._said
        if places is not None:
            from nearline.schema.taking import copied

            said = copied(*said, places)
            self._said = said, None
        return said


@dataclass(frozen=True, slots=True)
class Ranked:
    """Candidates with scores, best first.

    Attributes:
        candidates: in ranked order.
        scores: combined by the application's weights, `[n] float32`.
        outcomes: probability of each declared outcome, `[n_outcomes, n] float32`.
        propensities: probability with which each stands in its place, `[n] float32`; `None` where nothing was left to chance.
        labels: what must be said of an item, such as "Sponsored", "" for nothing; `[n] object`, `None` where nothing must.
        held: what a rule holds where it is (a pin, a quota; beyond the list: what must not come into it by chance), so that
            later arrangements leave it, `[n] bool`; `None` for none.
        explored: what stands where it does by chance, to be learned about, `[n] bool`; `None` for none.
    """

    candidates: Candidates
    scores: F32
    outcomes: F32 = field(default_factory=lambda: np.empty((0, 0), np.float32))
    propensities: F32 | None = None
    labels: NDArray[np.object_] | None = None
    held: NDArray[np.bool_] | None = None
    explored: NDArray[np.bool_] | None = None

    def take(self, places: NDArray[np.intp] | I32 | NDArray[np.bool_]) -> Ranked:
        """Return the ranked candidates at places, in that order."""
        if places.dtype == np.bool_:
            places = np.flatnonzero(places)
        outcomes = self.outcomes.take(places, axis=1) if self.outcomes.size else self.outcomes
        propensities = None if self.propensities is None else self.propensities[places]
        labels = None if self.labels is None else self.labels[places]
        held = None if self.held is None else self.held[places]
        explored = None if self.explored is None else self.explored[places]
        return Ranked(self.candidates.take(places), self.scores.take(places), outcomes, propensities, labels, held, explored)

    def followed(self, more: Ranked) -> Ranked:
        """Return the list with more behind it, of which nothing is said yet: certain, without label, free."""
        m = len(more.scores)

        def said(own: NDArray[Any] | None, nothing: Any) -> Any:
            return None if own is None else np.concatenate((own, np.full(m, nothing, own.dtype)))

        empty = np.empty((len(self.outcomes), 0), np.float32)
        return Ranked(
            self.candidates.followed(more.candidates),
            np.concatenate((self.scores, more.scores)),
            np.concatenate((self.outcomes, more.outcomes), axis=1) if self.outcomes.size else empty,
            said(self.propensities, 1.0),
            said(self.labels, ""),
            said(self.held, False),
            said(self.explored, False),
        )


class Arranged(NamedTuple):
    """An order with what an arrangement says of its places, each in the new order, as in `Ranked`; `None` leaves what was.

    Attributes:
        places: into the list as it was, `[n] int32`.
    """

    places: I32
    propensities: F32 | None = None
    labels: NDArray[np.object_] | None = None
    held: NDArray[np.bool_] | None = None
    explored: NDArray[np.bool_] | None = None

    def of(self, ranked: Ranked) -> Ranked:
        """Return `ranked` so arranged."""
        said: dict[str, Any] = {
            name: value for name, value in zip(self._fields[1:], self[1:], strict=True) if value is not None
        }
        return replace(ranked.take(self.places), **said)
