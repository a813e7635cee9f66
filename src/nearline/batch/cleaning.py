"""Cleaning: bots and events that can't teach are left out of training, and counted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nearline.schema.clock import HOUR, MINUTE
from nearline.schema.event import Events, Role
from nearline.schema.interactions import PairSums
from nearline.schema.kinds import ERASED

MOST_PER_HOUR = 1200
"""Events of one visitor in one hour above which he is taken for a bot: one every three seconds, for an hour."""
MOST_PER_MINUTE = 60
"""Views and clicks of one visitor in one minute above which he is taken for a bot; lists of ratings are no such."""


def erased(events: Events) -> NDArray[np.bool_]:
    """Return which events a later tombstone takes back, `[n] bool`, the tombstones too."""
    users, _, upto = tombstones(events)
    if not len(users):
        return np.zeros(len(events), np.bool_)
    place = np.searchsorted(users, events["user"]).clip(max=len(users) - 1)
    return np.asarray((users[place] == events["user"]) & (events["offset"] <= upto[place]), np.bool_)


def tombstones(events: Events) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]:
    """Return visitors who erased themselves, in order of key, with the time (ms UTC) and offset of the last tombstone."""
    newest_first = events[events["kind"] == ERASED][::-1]
    users, first = np.unique(newest_first["user"], return_index=True)
    return users, newest_first["ts"][first], newest_first["offset"][first]


def clean(events: Events, order_only: bool) -> tuple[Events, dict[str, int]]:
    """Return the events to learn from, and how many were dropped by reason.

    Args:
        events: `[n] EVENT` in log order.
        order_only: times are not real, so rates say nothing.
    """
    dropped: dict[str, int] = {}
    gone = erased(events)
    dropped["erased by their user"] = int(gone.sum())
    events = events[~gone]
    # What was carried to a user at login teaches as what he did anonymously; what he said of himself is no choice.
    events = events[events["own"] == 0]
    known = events["kind"] > 0
    dropped["event type not declared"] = int((~known).sum())
    events = events[known]
    named = events["user"] != 0
    dropped["no user or session"] = int((~named).sum())
    events = events[named]
    if not order_only and len(events):
        rates = Rates()
        rates.take(events)
        bots = np.isin(events["user"], rates.bots())
        dropped["bots"] = int(bots.sum())
        events = events[~bots]
    return events, {reason: n for reason, n in dropped.items() if n}


class Rates:
    """How much each visitor did in each hour and minute; taken piece by piece, so that no engine must hold all events."""

    def __init__(self) -> None:
        self._hours, self._minutes = PairSums(), PairSums()

    def take(self, events: Events) -> None:
        """Count events, `[n] EVENT`."""
        opens = ((events["role"] == Role.VIEW) | (events["role"] == Role.CLICK)) & (events["rating"] == 0)
        for sums, some, width in ((self._hours, events, HOUR), (self._minutes, events[opens], MINUTE)):
            sums.add(some["user"], (some["ts"] // width).astype(np.uint64), np.ones(len(some), np.int64))

    def forget(self, users: NDArray[np.uint64]) -> None:
        """Take back what some visitors did."""
        self._hours.drop(users)
        self._minutes.drop(users)

    def bots(self) -> NDArray[np.uint64]:
        """Return the keys of those who did more than a person can, in order."""
        busy = [
            users[count > most]
            for (users, _, count), most in (
                (self._hours.sums(), MOST_PER_HOUR),
                (self._minutes.sums(), MOST_PER_MINUTE),
            )
        ]
        return np.unique(np.concatenate(busy))
