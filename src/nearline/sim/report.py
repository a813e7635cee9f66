"""What a drive found."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from nearline.sim.worth import Worth


@dataclass(frozen=True, slots=True)
class DayReport:
    """One simulated day. `seen` counts the places that were looked at."""

    day: int
    lists: int = 0
    served: int = 0
    seen: int = 0
    clicks: int = 0
    purchases: int = 0

    @property
    def ctr(self) -> float:
        """Return clicks per place looked at."""
        return self.clicks / max(self.seen, 1)

    @property
    def ctr_served(self) -> float:
        """Return clicks per place served: a good item far down counts for less."""
        return self.clicks / max(self.served, 1)


@dataclass(frozen=True, slots=True)
class Utility:
    """Mean true utility, in logits: of the lists served, the best of the same length, and random ones."""

    shown: float
    ideal: float
    random: float

    @property
    def regret(self) -> float:
        """Return what was missed, in logits."""
        return self.ideal - self.shown

    @property
    def attained(self) -> float:
        """Return where the lists stand between random (0) and ideal (1)."""
        reach = self.ideal - self.random
        return (self.shown - self.random) / reach if reach else 0.0


@dataclass(frozen=True, slots=True)
class ListNote:
    """One list as the simulator saw it.

    Args:
        day: of the drive, from 0.
        user: row of the user.
        at: when, ms UTC.
        items: `[k] int64` rows, as served.
        clicks: that came of it.
        purchases: that came of it.
        truth: what was to be expected of it, given what the visit was after.
        lasting: mean utility by lasting taste: shown, ideal, random.
        session: mean utility in the visit: shown, ideal, random.
    """

    day: int
    user: int
    at: int
    items: NDArray[np.int64]
    clicks: int
    purchases: int
    truth: Worth
    lasting: tuple[float, float, float]
    session: tuple[float, float, float]


def mean_utility(notes: list[tuple[float, float, float]]) -> Utility:
    """Return the mean over lists; zeros when there are none."""
    shown, ideal, random = np.mean(notes, axis=0) if notes else (0.0, 0.0, 0.0)
    return Utility(float(shown), float(ideal), float(random))


@dataclass(frozen=True, slots=True)
class DriveReport:
    """What a drive asked, sent, and found.

    Args:
        days: day by day.
        lists: lists answered.
        short: lists answered with fewer items than asked for.
        events: events that the server took.
        purchases: in all.
        lasting: utility by the users' lasting tastes, which a recommender can learn.
        session: utility with the session's intent, which only the session's own events give away.
        errors: requests that failed after their retries, answers that made no sense, items that do not exist.
        retries: tries repeated because the server was busy or the connection broke.
        p50_ms: median latency of a list's last try.
        p99_ms: 99th percentile of the same.
        post_p50_ms: median latency of a post of events.
        post_p99_ms: 99th percentile of the same.
    """

    days: tuple[DayReport, ...]
    lists: int
    short: int
    events: int
    purchases: int
    lasting: Utility
    session: Utility
    errors: int
    retries: int
    p50_ms: float
    p99_ms: float
    post_p50_ms: float
    post_p99_ms: float

    @property
    def ctr(self) -> float:
        """Return clicks per place looked at, over all days."""
        return sum(day.clicks for day in self.days) / max(sum(day.seen for day in self.days), 1)


class ListItem(msgspec.Struct, frozen=True):
    """The part of a served item that a client needs."""

    item_id: str


class ServedList(msgspec.Struct, frozen=True):
    """The part of `GET /v1/recommendations` that a client needs."""

    request_id: str
    items: list[ListItem]
