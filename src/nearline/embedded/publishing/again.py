"""Dead letters delivered again."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from msgspec import Struct

from nearline.app.tenant import Tenant
from nearline.embedded.publishing.courier import Courier
from nearline.embedded.publishing.dead import DeadLetters
from nearline.schema.clock import WallClock
from nearline.stores.subscriber import Subscriber


class Again(Struct, frozen=True):
    """What became of dead letters.

    Attributes:
        delivered: that their subscriber has now.
        dead: that it still does not take.
        others: whose subscriber is no longer named; they stay.
    """

    delivered: int
    dead: int
    others: int


def deliver_again(tenant: Tenant, subscribers: Mapping[str, Subscriber], ending: threading.Event) -> Again:
    """Deliver each dead letter to its subscriber, the newest of each list, within the budget; what fails is one again."""
    letters = DeadLetters(tenant.folder)
    taken = letters.take()
    couriers = {
        name: Courier(name, subscriber, letters, WallClock(), tenant.settings.publish.budget_seconds)
        for name, subscriber in subscribers.items()
    }
    others = [letter for letter in taken if letter.to not in couriers]
    for letter in taken:
        if letter.to in couriers:
            while couriers[letter.to].waiting > 1_000 and not ending.wait(0.01):
                pass
            couriers[letter.to].put(letter.result)
    for courier in couriers.values():
        while not (courier.drained(0.2) or ending.is_set()):
            pass
    for courier in couriers.values():
        courier.close()
    if not ending.is_set():
        if others:
            letters.write(others)
        letters.done()
    everyone = couriers.values()
    return Again(sum(one.delivered for one in everyone), sum(one.dead for one in everyone), len(others))
