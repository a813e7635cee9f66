"""What a request asks with: the item that its page is about, the cart, then what the visitor touched last."""

from __future__ import annotations

import numpy as np

from nearline.features.history import HistoryFold, recent_slots
from nearline.schema.candidates import F32, I32
from nearline.schema.components import UserState, World
from nearline.schema.ids import keys
from nearline.schema.query import Query


def given_items(query: Query, world: World) -> tuple[I32, bool]:
    """Return the page's item and the cart, newest first, as different slots; and whether the request is about these alone.

    An item's page is about that item alone, and a cart's page about the cart, where they are known.
    """
    names = [query.item_id] if query.item_id else []
    if not (names and query.surface == "item"):
        names += query.cart[::-1]
    given = world.item_slots(keys(list(dict.fromkeys(names))))
    given = given[given >= 0]
    return given, len(given) > 0 and query.surface in ("item", "cart")


def asked_items(query: Query, user: UserState, world: World, most: int) -> I32:
    """Return at most `most` different slots: the page's item, the cart, newest first, then the last items, newest first."""
    if not query.item_id and not query.cart:
        return recent_slots(user, world, most)[0]
    given, alone = given_items(query, world)
    if alone:
        return given[:most]
    recent, _ = recent_slots(user, world, most)
    return np.concatenate((given, recent[~np.isin(recent, given)]))[:most]


def ways(ask: int, decay: float, long: float) -> F32:
    """Return how much each of the last items counts, newest first, by way, `[3, m] float32`.

    The ways: the last item alone; the last `ask`, each further one `decay` of the one before; all that is kept, by `long`.
    """
    steps = np.arange(max(ask, HistoryFold().n))
    recent = np.where(steps < ask, decay**steps, 0.0)
    return np.array([steps == 0, recent, long**steps], np.float32)
