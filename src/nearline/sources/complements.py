"""Complements: what people put into the cart or bought after an item, with it and not instead of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nearline.features.history import newest_first
from nearline.schema.candidates import F32, I32, NOTHING, Retrieved
from nearline.schema.clock import DAY
from nearline.schema.components import ALL_EXPIRED, Arrays, FoldBatch, UserState, World
from nearline.schema.event import EVENT, Events, Role
from nearline.schema.kernel import b1, f4, i4, i8, kernel, record, u1, u4
from nearline.schema.query import Query
from nearline.schema.span import Span
from nearline.schema.top import best
from nearline.sources.asked import asked_items
from nearline.sources.covisit import CovisitSource, CovisitTables

INTENT, CONVERSION, NEGATIVE = int(Role.INTENT), int(Role.CONVERSION), int(Role.NEGATIVE)


@kernel(i4[::1], i4[::1], record(EVENT), u1[::1], i8[::1], i8, i4[::1], u1[::1])
def _only(
    users: I32,
    items: I32,
    events: Events,
    reset: NDArray[np.uint8],
    last: NDArray[np.int64],
    horizon: int,
    out_items: I32,
    out_reset: NDArray[np.uint8],
) -> None:
    """Copy a batch with only its intents and conversions; one long after the visitor's last begins anew."""
    for i in range(len(users)):
        role, user = events[i].role, users[i]
        wanted = user >= 0 and items[i] >= 0 and INTENT <= role <= CONVERSION
        out_items[i], out_reset[i] = items[i] if wanted else -1, reset[i]
        if wanted:
            if events[i].ts - last[user] > horizon:
                out_reset[i] = ALL_EXPIRED
            last[user] = max(last[user], events[i].ts)


class BasketTables(CovisitTables):
    """Each visitor's last intents and conversions, and by item what was added or bought after it; as `CovisitTables`.

    Args:
        window: how many items back an event still counts for.
        limit: places of the largest table, a power of two.
        days: a visitor's pause after which what he adds goes with nothing before it.
    """

    name = "baskets"

    def __init__(self, window: int = 5, limit: int = 1024, days: float = 7.0) -> None:
        super().__init__(window, limit)
        self.horizon = int(days * DAY)
        self.last: NDArray[np.int64] = np.zeros(0, np.int64)

    def update(self, batch: FoldBatch) -> None:
        """Count each intent or conversion as the successor of its visitor's last ones."""
        if not len(batch.users):
            return
        users = int(batch.users.max()) + 1
        if users > len(self.last):
            grown = np.zeros(max(1024, users + users // 2), np.int64)
            grown[: len(self.last)] = self.last
            self.last = grown
        items, reset = np.empty_like(batch.items), np.empty_like(batch.reset)
        _only(batch.users, batch.items, batch.events, batch.reset, self.last, self.horizon, items, reset)
        super().update(FoldBatch(batch.events, batch.users, items, reset))

    def forget(self, user: int) -> None:
        """Clear a visitor's last items, and when they were."""
        super().forget(user)
        if user < len(self.last):
            self.last[user] = 0

    def dump(self) -> Arrays:
        """Return the tables as arrays."""
        return super().dump() | {"last": self.last[: self.users]}

    def load(self, arrays: Arrays) -> None:
        """Continue from what `dump` returned."""
        super().load(arrays)
        self.last = np.array(arrays["last"])

    def nbytes(self) -> int:
        """Return the bytes in use."""
        return super().nbytes() + self.last.nbytes


@kernel(i4[::1], i4[::1], f4[::1], u4[::1], f4, b1[::1])
def _penalise(
    asked: I32, items: I32, scores: F32, category: NDArray[np.uint32], factor: float, held: NDArray[np.bool_]
) -> None:
    """Lower what is of an asked item's own category, and find what is asked with itself."""
    for i in range(len(items)):
        own = category[items[i]]
        for j in range(len(asked)):
            held[i] = held[i] or asked[j] == items[i]
            if own != 0 and category[asked[j]] == own:
                scores[i] *= factor
                break


class ComplementSource(CovisitSource):
    """What goes with the cart, or with the page's item: added or bought after it, within days, by the same visitors.

    What is of the same category is more often bought instead, so it counts less. Without cart and item it is asked with what
    the visitor added or bought last.

    Args:
        quota: candidates at most.
        instead: what is left of the score of an item of the same category.
        ask: how many items to ask with.
        decay: weight of each further one.
    """

    name = "complements"
    reason: ClassVar[str] = "goes_with"
    template: ClassVar[str] = "Goes with {title}"
    tunes: ClassVar[Mapping[str, Span]] = {}
    surfaces = ("cart", "item")

    def __init__(self, quota: int = 100, instead: float = 0.3, ask: int = 12, decay: float = 0.9) -> None:
        super().__init__(quota, ask=ask, decay=decay)
        self.instead = instead
        self.tables = BasketTables()
        self.state = (self.tables,)

    def fetch(self, query: Query, user: UserState, limit: int) -> Retrieved:
        """Return what goes with the cart, else with the page's item, else with the last intents and conversions."""
        if query.item_id or query.cart:
            asked = asked_items(query, user, self._world, self.ask)
        else:
            asked = _chosen(user, self._world, self.ask)
        found = self.after(asked, 2 * limit)
        if not len(found.items):
            return NOTHING
        held = np.zeros(len(found.items), np.bool_)
        _penalise(asked, found.items, found.scores, self._world.columns.category, self.instead, held)
        found.scores[held] = 0.0
        places = best(found.scores, limit)
        return Retrieved(found.items[places], found.scores[places], found.because[places])


def _chosen(user: UserState, world: World, most: int) -> I32:
    """Return the different items that a visitor added or bought last, newest first, as slots."""
    items, _, roles = newest_first(user.rows["history"])
    chosen = items[((roles == INTENT) | (roles == CONVERSION)) & ~np.isin(items, items[roles == NEGATIVE])]
    _, first = np.unique(chosen, return_index=True)
    slots = world.item_slots(chosen[np.sort(first)])
    return slots[slots >= 0][:most]
