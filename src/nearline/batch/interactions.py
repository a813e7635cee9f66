"""Interactions of a bucket of visitors, added up from its events piece by piece, as cleaning all events at once leaves them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nearline.batch.cleaning import Rates, erased, tombstones
from nearline.schema.event import Events
from nearline.schema.interactions import I64, U64, PairSums, drawn, touching


@dataclass(frozen=True)
class Wanted:
    """Which interactions are asked for.

    Attributes:
        since, until: times of their events, ms UTC, both included.
        items: keys of the catalogue, in order, `[n] uint64`.
        order_only: times are not real, so rates say nothing.
        share, seed: the sample of visitors, see `schema.interactions.drawn`.
    """

    since: int
    until: int
    items: NDArray[np.uint64]
    order_only: bool
    share: float = 1.0
    seed: int = 0


class InteractionCollector:
    """Adds up who touched what; what `clean` leaves out is left out, though only the end shows who was a bot.

    Memory follows the pairs of visitor and item, hour or minute, also where one visitor has most of the events.

    Args:
        wanted: which are asked for.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted, self._touched, self._rates = wanted, PairSums(), Rates()

    def take(self, events: Events) -> None:
        """Take more events, `[n] EVENT`; those of a visitor come in the order of the log."""
        gone = tombstones(events)[0]
        self._touched.drop(gone)
        self._rates.forget(gone)
        # The same as in `clean`: not what was erased, carried over or said of himself, and no type without a declaration.
        events = events[~erased(events) & (events["own"] == 0) & (events["kind"] > 0) & (events["user"] != 0)]
        if not self._wanted.order_only:
            self._rates.take(events)
        fine = touching(events) & (events["ts"] >= self._wanted.since) & (events["ts"] <= self._wanted.until)
        fine &= drawn(events["user"], self._wanted.share, self._wanted.seed)
        events = events[fine & np.isin(events["item"], self._wanted.items)]
        self._touched.add(events["user"], events["item"], events["weight"])

    def sums(self) -> tuple[U64, U64, I64]:
        """Return visitors and items by key, in order, and thousandths of weight, each `[n]`."""
        self._touched.drop(self._rates.bots())
        return self._touched.sums()
