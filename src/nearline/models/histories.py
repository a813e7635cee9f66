"""What visitors did, as one long stream that is cut into windows: no padding, and every position teaches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

I32 = NDArray[np.int32]
GAPS = np.array([30 * 60, 6 * 3600, 2 * 86_400, 14 * 86_400])
"""Seconds that part the classes of time between two events: one session, one day, days, weeks, longer."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Visitors' events one after the other; all `[n]`.

    Attributes:
        items: places in the list of items, int32.
        roles: `schema.event.Role`, int32.
        gaps: class of the time until the same visitor's next event, int32; 0 where times say nothing.
        users: number of the visitor, not decreasing, int32.
        weights: how much it counts to have predicted the event, float32.
    """

    items: I32
    roles: I32
    gaps: I32
    users: I32
    weights: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Windows:
    """Pieces of a stream; all `[n_windows, length]`. `weights` is 0 where no target is known, or it is held out."""

    items: I32
    roles: I32
    gaps: I32
    users: I32
    targets: I32
    weights: NDArray[np.float32]

    def __len__(self) -> int:
        """Return how many windows there are."""
        return len(self.items)


def gap_classes(seconds: NDArray[np.int64]) -> I32:
    """Return the class of times between events, `[n] int32`: places among `GAPS`."""
    return np.searchsorted(GAPS, seconds, side="right").astype(np.int32)


def windows(stream: Stream, length: int, held: NDArray[np.bool_], random: np.random.Generator, both: bool = False) -> Windows:
    """Return one pass over a stream: visitors in a new order, one behind the other, cut at new places.

    Args:
        length: of a window.
        held: which events are not to be predicted, `[n] bool`.
        random: where order and cuts come from.
        both: an event's target is its own item, which is to be hidden, and not the next one.
    """
    counts = np.bincount(stream.users)
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    order = random.permutation(len(counts))
    lengths = counts[order]
    ends = np.cumsum(lengths)
    # Places in the stream, visitor by visitor in their new order.
    places = np.arange(len(stream.items)) - np.repeat(ends - lengths, lengths) + np.repeat(starts[order], lengths)
    places = np.roll(places, random.integers(0, length))
    # Where less is there than a window, it goes round.
    whole = max(1, len(places) // length) * length
    places = np.resize(places, whole + 1)
    now, then = places[:-1], places[:-1] if both else places[1:]
    follows = (stream.users[now] == stream.users[then]) & (then == now + (not both))
    weights = np.where(follows & ~held[then], stream.weights[then], np.float32(0.0))
    shuffled = random.permutation(whole // length)

    def cut(values: NDArray[np.generic]) -> NDArray[np.generic]:
        return values.reshape(-1, length)[shuffled]

    columns = (stream.items[now], stream.roles[now], stream.gaps[now], stream.users[now], stream.items[then], weights)
    return Windows(*(cut(column) for column in columns))  # type: ignore[arg-type]


def batches(found: Windows, size: int, together: int) -> Iterator[Windows]:
    """Return windows as `[together, size, length]`, as many steps as are taken in one call; what is left over is left out."""
    step = size * together
    columns = [getattr(found, name) for name in Windows.__slots__]
    for begin in range(0, len(found) - step + 1, step):
        yield Windows(*(c[begin : begin + step].reshape(together, size, *c.shape[1:]) for c in columns))


def last_of(stream: Stream, visitors: NDArray[np.int64], length: int) -> Windows:
    """Return the windows that end before some visitors' last events, `[n, length]`; the last column asks for these.

    What a short history leaves empty at the front belongs to nobody (user -1).
    """
    ends = np.cumsum(np.bincount(stream.users))[visitors] - 1
    places = ends[:, None] - length + np.arange(length)
    own = (places >= 0) & (stream.users[places.clip(min=0)] == stream.users[ends][:, None])
    places = places.clip(min=0)
    users = np.where(own, stream.users[places], np.int32(-1))
    targets = stream.items[(places + 1).clip(max=len(stream.items) - 1)]
    weights = np.zeros(places.shape, np.float32)
    weights[:, -1] = 1.0
    return Windows(stream.items[places], stream.roles[places], stream.gaps[places], users, targets, weights)
