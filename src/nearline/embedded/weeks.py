"""What a run of weeks came to, by week, with standard errors over visitors."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from nearline.batch.metrics import Estimate, gini
from nearline.schema.clock import DAY
from nearline.sim.report import ListNote, mean_utility
from nearline.sim.world import ShopWorld

NEW_DAYS = 14
"""An item is new for so many days."""


class WeekReport(msgspec.Struct, frozen=True):
    """One week of lists, or all of them.

    Attributes:
        week: from 1; 0 for all together.
        lists: answered.
        clicks: per list.
        purchases: per list.
        true_clicks: expected clicks per list, given what each visit was after: no luck in it.
        true_purchases: expected purchases per list.
        true_value: expected clicks + 8 purchases per list.
        attained: where lists stand between random (0) and the best (1), by the utility in the visit.
        attained_lasting: the same by lasting taste alone.
        coverage: share of the items that were there which stood in some list.
        gini: of the exposure over these items; 0 even, towards 1 all on one item.
        new_share: share of the places that held an item of the last 14 days.
        new_coverage: share of these items which stood in some list.
    """

    week: int
    lists: int
    clicks: Estimate
    purchases: Estimate
    true_clicks: Estimate
    true_purchases: Estimate
    true_value: Estimate
    attained: float
    attained_lasting: float
    coverage: float
    gini: float
    new_share: float
    new_coverage: float


class ArmReport(msgspec.Struct, frozen=True):
    """What became of one configuration.

    Attributes:
        name: of the configuration.
        weeks: one by one.
        total: all of them.
        releases: versions that were published, in order.
        errors: requests that failed, and items served that do not exist.
        served_from: how often lists came from what.
    """

    name: str
    weeks: list[WeekReport]
    total: WeekReport
    releases: list[str]
    errors: int
    served_from: dict[str, int]


class Comparison(msgspec.Struct, frozen=True):
    """Configurations that faced the same people, each in its own copy of the world."""

    seed: int
    users: int
    items: int
    arms: list[ArmReport]


def by_week(notes: Sequence[ListNote], world: ShopWorld) -> tuple[list[WeekReport], WeekReport]:
    """Return a report for each week in which there were lists, and one for all."""
    weeks = sorted({note.day // 7 for note in notes})
    each = [report(week + 1, [note for note in notes if note.day // 7 == week], world) for week in weeks]
    return each, report(0, notes, world)


def report(week: int, notes: Sequence[ListNote], world: ShopWorld) -> WeekReport:
    """Return what lists came to."""
    users = np.array([note.user for note in notes], np.int64)
    born = world.catalog.created_at
    last = max((note.at for note in notes), default=world.end_ms)
    first = min((note.at for note in notes), default=world.end_ms)
    there, young = born <= last, (born <= last) & (born > first - NEW_DAYS * DAY)
    shown = np.zeros(len(born), np.int64)
    places = new = 0
    for note in notes:
        np.add.at(shown, note.items, 1)
        places += len(note.items)
        new += int((born[note.items] > note.at - NEW_DAYS * DAY).sum())
    return WeekReport(
        week,
        len(notes),
        per_list(users, [note.clicks for note in notes]),
        per_list(users, [note.purchases for note in notes]),
        per_list(users, [note.truth.clicks for note in notes]),
        per_list(users, [note.truth.purchases for note in notes]),
        per_list(users, [note.truth.value for note in notes]),
        mean_utility([note.session for note in notes]).attained,
        mean_utility([note.lasting for note in notes]).attained,
        float((shown > 0).sum() / max(1, there.sum())),
        gini(shown[shown > 0].tolist(), int(max(there.sum(), (shown > 0).sum()))),
        new / max(1, places),
        float((shown[young] > 0).sum() / max(1, young.sum())),
    )


def per_list(users: NDArray[np.int64], values: Sequence[float]) -> Estimate:
    """Return the mean over lists, and its error with visitors, not lists, taken as independent (ratio estimator)."""
    if not len(users):
        return Estimate(0.0, float("nan"))
    lists = np.bincount(users)
    sums = np.bincount(users, weights=np.asarray(values, np.float64))
    mean = sums.sum() / lists.sum()
    rest = (sums - mean * lists)[lists > 0]
    n = len(rest)
    error = float(np.sqrt((rest**2).sum() * n / (n - 1)) / lists.sum()) if n > 1 else float("nan")
    return Estimate(float(mean), error)
