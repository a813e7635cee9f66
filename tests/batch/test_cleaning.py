"""What is left out of training: bots, and what no one declared."""

from __future__ import annotations

import numpy as np

from nearline.app.definition import App
from nearline.batch.cleaning import clean
from nearline.embedded.demo import event_table
from nearline.schema.event import Role, empty_events
from nearline.schema.ids import key
from nearline.sim.world import ShopWorld
from nearline.stores.encode import complete, events_from_table

APP = App(events=["view", "click", "add_to_cart", "purchase", "search", "dislike", "rate", "return"])


def test_the_shops_bots_are_left_out_and_its_people_stay() -> None:
    world = ShopWorld(users=200, items=200)
    table = event_table(event for day in world.history(14) for event in day)
    events = events_from_table(complete(table, "user_events", 0, "default"), APP.kinds())
    bots = np.isin(events["user"], [key(bot) for bot in world.bots])
    assert bots.any()
    cleaned, dropped = clean(events, order_only=False)
    assert dropped == {"bots": int(bots.sum())}
    assert len(cleaned) == int((~bots).sum())
    # Times that were made from positions say nothing about pace.
    assert len(clean(events, order_only=True)[0]) == len(events)


def test_a_form_full_of_ratings_is_no_bot() -> None:
    events = empty_events(100)
    events["kind"], events["role"] = APP.kinds().names["rate"], Role.CLICK
    events["user"], events["ts"], events["rating"] = 7, 1_700_000_000_000, 400
    assert clean(events, order_only=False)[1] == {}
    events["rating"] = 0
    assert clean(events, order_only=False)[1] == {"bots": 100}
