"""What a request asks with: the item that its page is about, then what the visitor touched last."""

from __future__ import annotations

import numpy as np

from nearline.features.history import recent_slots
from nearline.schema.candidates import I32
from nearline.schema.components import UserState, World
from nearline.schema.ids import key
from nearline.schema.query import Query


def asked_items(query: Query, user: UserState, world: World, most: int) -> I32:
    """Return at most `most` different slots, the page's item first, then the last items, newest first."""
    recent, _ = recent_slots(user, world, most)
    if not query.item_id:
        return recent
    page = world.item_slots(np.array([key(query.item_id)], np.uint64))
    return np.concatenate((page, recent[recent != page[0]]))[:most] if page[0] >= 0 else recent
