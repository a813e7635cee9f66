"""The last events of a visitor as a sequence model reads them: oldest first, a run of one item once, nothing disliked."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.models.histories import GAPS
from nearline.schema.candidates import I32
from nearline.schema.components import UserState, World
from nearline.schema.event import Role
from nearline.schema.kernel import b1, i4, i8, kernel, u1, u4
from nearline.schema.query import Query
from nearline.sources.asked import given_items

NEGATIVE, CLICK, INTENT = int(Role.NEGATIVE), int(Role.CLICK), int(Role.INTENT)


_NONE = np.empty(0, np.int32)


class EventWindow(NamedTuple):
    """Events, oldest first; all `[n]`.

    Attributes:
        slots: of the items, int32.
        roles: int32.
        gaps: class of the time until the next one, or until now, int32 (`models.histories`).
    """

    slots: I32
    roles: I32
    gaps: I32


@kernel(i4[::1], u4[::1], u1[::1], i8, i8, b1[::1], i8[::1], i4[:, ::1])
def _events(
    slots: I32,
    seconds: NDArray[np.uint32],
    roles: NDArray[np.uint8],
    count: int,
    now: int,
    known: NDArray[np.bool_],
    bounds: NDArray[np.int64],
    own: I32,
) -> int:
    """Write a ring's events, oldest first: items, roles, and how many bounds the seconds after each reach; return how many."""
    n = len(slots)
    out, out_roles, gaps = own
    waits = np.zeros(n, np.int64)
    found, last = 0, np.int64(0)
    first = max(0, count - n)
    for at in range(first, count):
        place = at % n
        slot = slots[place]
        fine = 0 <= slot < len(known) and known[slot] and roles[place] != NEGATIVE
        if fine:
            for other in range(min(n, count)):
                if roles[other] == NEGATIVE and slots[other] == slot:
                    fine = False
        if not fine:
            continue
        if found > 0 and out[found - 1] == slot:
            out_roles[found - 1] = max(out_roles[found - 1], np.int32(roles[place]))
        else:
            if found > 0:
                waits[found - 1] = np.int64(seconds[place]) - last
            out[found], out_roles[found] = slot, roles[place]
            found += 1
        last = np.int64(seconds[place])
    if found > 0:
        waits[found - 1] = now - last
    for at in range(found):
        gaps[at] = 0
        for bound in bounds:
            gaps[at] += waits[at] >= bound
    return found


def event_window(query: Query, user: UserState, world: World, known: NDArray[np.bool_], most: int, timed: bool) -> EventWindow:
    """Return the last events with the cart and the page's item after them; on an item's or a cart's page these alone.

    Args:
        known: which slots have a vector, `[n_slots] bool`.
        most: events at most, the last ones.
        timed: whether times say anything.
    """
    given, alone = _NONE, False
    if query.item_id or query.cart:
        given, alone = given_items(query, world)
        given = given[given < len(known)][::-1]
        given = given[known[given]]
    own = EventWindow(_NONE, _NONE, _NONE)
    if not (alone and len(given)):
        row = user.rows["history"]
        items: NDArray[np.uint64] = row["items"][0]
        n = len(items)
        found, slots, now = np.empty((3, n), np.int32), world.item_slots(items), query.now // 1000
        bounds = GAPS if timed else GAPS[:0]
        count = _events(slots, row["seconds"][0], row["roles"][0], row["count"][0], now, known, bounds, found)
        own = EventWindow(*found[:, :count])
    if len(given):
        fresh = ~np.isin(own.slots, given)
        role = np.full(len(given), CLICK if query.item_id else INTENT, np.int32)
        more = EventWindow(given, role, np.zeros_like(role))
        own = EventWindow(*(np.concatenate((column[fresh], last)) for column, last in zip(own, more, strict=True)))
    return EventWindow(*(column[-most:] for column in own))
