"""Replaying: walk history in offset order and look at the state as it was at chosen moments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from nearline.schema.event import Events
from nearline.schema.query import Query
from nearline.stores.world import OnlineWorld

CHUNK = 1 << 16
RENEWED = 50
"""Moments between two renewals of the sources' indexes, which a server has about once a second."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Moment:
    """A question to the past: the query as asked when all events below `offset` were folded."""

    offset: int
    query: Query
    label: int = 0
    """Place in whatever list the caller keeps beside the moments."""


def replay(world: OnlineWorld, events: Events, moments: Iterable[Moment]) -> Iterator[Moment]:
    """Fold events (`[n] EVENT`) and yield each moment when the world stands exactly at its offset.

    Moments must come in order of offset. What is beyond the last one is folded too.
    """
    offsets = events["offset"]
    done = int(np.searchsorted(offsets, world.offset))
    for moment in moments:
        upto = int(np.searchsorted(offsets, moment.offset))
        while done < upto:
            step = min(done + CHUNK, upto)
            world.apply(events[done:step])
            done = step
        yield moment
    while done < len(events):
        world.apply(events[done : done + CHUNK])
        done += CHUNK
