"""Cleaning: bots and events that can't teach are left out of training, and counted."""

from __future__ import annotations

import numpy as np

from nearline.schema.clock import HOUR
from nearline.schema.event import Events

MOST_PER_HOUR = 300
"""Events of one visitor in one hour above which he is taken for a bot."""


def clean(events: Events, order_only: bool) -> tuple[Events, dict[str, int]]:
    """Return the events to learn from, and how many were dropped by reason.

    Args:
        events: `[n] EVENT` in log order.
        order_only: times are not real, so rates say nothing.
    """
    dropped: dict[str, int] = {}
    known = events["kind"] > 0
    dropped["event type not declared"] = int((~known).sum())
    events = events[known]
    named = events["user"] != 0
    dropped["no user or session"] = int((~named).sum())
    events = events[named]
    if not order_only and len(events):
        users, place = np.unique(events["user"], return_inverse=True)
        hour = (events["ts"] // HOUR).astype(np.int64)
        slot, count = np.unique(place * (hour.max() - hour.min() + 1) + hour - hour.min(), return_counts=True)
        busiest = np.zeros(len(users), np.int64)
        np.maximum.at(busiest, slot // (hour.max() - hour.min() + 1), count)
        bots = busiest > MOST_PER_HOUR
        dropped["bots"] = int(bots[place].sum())
        events = events[~bots[place]]
    return events, {reason: n for reason, n in dropped.items() if n}
