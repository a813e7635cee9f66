"""How people act: when they come, what they are after, how far they look, what they do with a list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nearline.schema.clock import DAY, HOUR, SECOND
from nearline.sim.config import STILL, ShopConfig
from nearline.sim.events import (
    BASKET,
    CART,
    CHECKOUT,
    CLICK,
    DISLIKE,
    ITEM,
    PURCHASE,
    SEEN,
    VIEW,
    Rows,
    rows_of,
)
from nearline.sim.memory import Memory
from nearline.sim.people import People
from nearline.sim.season import is_weekend
from nearline.sim.taxonomy import COMPLEMENTS

POSITION_BIAS = 0.6
MAX_LISTS = 5
PURCHASE_AFTER_CART = 0.45
ANYTHING, TAKES_UP = 0.1, 0.5
"""Chance that a visit is after anything at all; that it takes up what a purchase left owing."""

_COMPLEMENTS = np.array(COMPLEMENTS)
_HOURS = np.array([3, 2, 1, 1, 1, 2, 4, 6, 7, 8, 8, 9, 10, 9, 8, 8, 9, 10, 12, 14, 15, 14, 10, 6], dtype=float)


def position_bias(rank: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the probability that a place is looked at, `rank ** -0.6`; ranks count from 1."""
    return np.asarray(rank, dtype=np.float64) ** -POSITION_BIAS


def look_depth(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Draw how far down `n` lists are looked at, `[n] float64`; P(depth >= rank) is the position bias."""
    return np.asarray((1.0 - rng.random(n)) ** (-1.0 / POSITION_BIAS))


def sigmoid(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 1 / (1 + exp(-x))."""
    return np.asarray(1.0 / (1.0 + np.exp(-x)), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Sessions:
    """Visits of one day in time order, each `[n] int64`: user, start (ms UTC), intent (leaf), lists."""

    user: NDArray[np.int64]
    start: NDArray[np.int64]
    intent: NDArray[np.int64]
    lists: NDArray[np.int64]


def cart_chance(utility: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probability that what was clicked goes into the cart."""
    return np.asarray(0.3 * sigmoid(utility + 1.5), dtype=np.float32)


def sessions_of_day(
    rng: np.random.Generator,
    people: People,
    day_ms: int,
    memory: Memory,
    rate: float = 1.0,
    wishes: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]] | None = None,
    config: ShopConfig = STILL,
) -> Sessions:
    """Draw a day's visits.

    Args:
        rng: where the draws come from.
        people: who may come.
        day_ms: when the day begins, ms UTC.
        memory: half the visits take up what is owed in it, and those clear it.
        rate: factor on everybody's activity.
        wishes: how much users (`[n] int64`) want each leaf at times (`[n] int64`, ms UTC), `[n, n_leaves] float32`;
            their tastes when not given.
        config: the factor of weekends and the curve of a day.
    """
    owed = memory.owed
    weekend = config.weekend if is_weekend(np.array(day_ms)) else 1.0
    present = people.joined < day_ms + DAY
    user = np.repeat(np.arange(len(people.ids)), rng.poisson(rate * weekend * people.rate * present))
    n = len(user)
    curve = _HOURS**config.daily
    hour = rng.choice(24, n, p=curve / curve.sum())
    start = day_ms + hour * HOUR + rng.integers(HOUR, size=n)
    order = np.argsort(start, kind="stable")
    user, start = user[order], start[order]
    intent = _wish(rng, people.taste[user] if wishes is None else wishes(user, start))
    takes = (owed[user] >= 0) & (rng.random(n) < TAKES_UP)
    intent[takes] = owed[user[takes]]
    owed[user[takes]] = -1
    lists = np.minimum(1 + rng.poisson(1.0, n), MAX_LISTS)
    here = start >= people.joined[user]
    return Sessions(user[here], start[here], intent[here], lists[here])


def next_intent(rng: np.random.Generator, intent: NDArray[np.int64], bought: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the intents after a page: half of those who `bought` (a leaf, or -1) now want its complement."""
    turns = (bought >= 0) & (rng.random(len(intent)) < 0.5)
    return np.where(turns, _COMPLEMENTS[bought], intent)


def complement(leaf: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the complement of each leaf."""
    return np.asarray(_COMPLEMENTS[leaf])


@dataclass(frozen=True, slots=True)
class Reaction:
    """What became of `n` lists.

    Args:
        rows: events in time order within a list; the column `session` holds the list's number, 0 to n - 1.
        end: `[n] int64`, when each list is left, ms UTC.
        bought: `[n] int64`, the item row bought last from each list, or -1.
    """

    rows: Rows
    end: NDArray[np.int64]
    bought: NDArray[np.int64]


def react(
    rng: np.random.Generator,
    at: NDArray[np.int64],
    items: NDArray[np.int64],
    utility: NDArray[np.float32],
    shown: NDArray[np.bool_],
    page: NDArray[np.int64],
    with_seen: bool = False,
) -> Reaction:
    """Let people go through lists: P(click) = position bias(rank) * sigmoid(utility); the rest follows.

    Args:
        rng: where the draws come from.
        at: `[n] int64`, when each list appears, ms UTC.
        items: `[n, k] int64` item rows.
        utility: `[n, k] float32`, true, in the session.
        shown: `[n, k] bool`; places that are not shown take no rank.
        page: `[n] int64`, row in `PAGES`.
        with_seen: also emit a `seen` per place looked at.
    """
    n, k = items.shape
    rank = np.cumsum(shown, axis=1)
    seen = shown & (rank <= look_depth(rng, n)[:, None])
    chance = rng.random((4, n, k))
    click = seen & (chance[0] < sigmoid(utility))
    cart = click & (chance[1] < cart_chance(utility))
    purchase = cart & (chance[2] < PURCHASE_AFTER_CART)
    dislike = seen & ~click & (chance[3] < 0.01 * sigmoid(-5.5 - utility))

    scan = rng.integers(300, 1_500, (n, k))
    dwell = np.minimum(np.exp(9.4 + 0.15 * utility + 0.6 * rng.standard_normal((n, k))), 9e5).astype(np.int64)
    checkout = rng.integers(20 * SECOND, 90 * SECOND, (n, k))
    stay = np.where(click, dwell + 700, 0) + np.where(purchase, checkout, 0)
    done = np.cumsum(np.where(seen, scan + stay, 0), axis=1)
    looked = at[:, None] + done - stay

    def rows(mask: NDArray[np.bool_], kind: int, time: NDArray[np.int64], where: int | None = None) -> Rows:
        row, column = np.nonzero(mask)
        return rows_of(
            len(row), time=time[row, column], session=row, kind=kind, item=items[row, column],
            page=page[row] if where is None else where,
            position=rank[row, column] if where is None else 0,
            dwell=dwell[row, column] if kind == VIEW else 0,
        )  # fmt: skip

    made = np.concatenate(
        [
            rows(seen & with_seen, SEEN, looked),
            rows(click, CLICK, looked + 400),
            rows(click, VIEW, looked + 600, ITEM),
            rows(cart, CART, looked + 600 + (0.8 * dwell).astype(np.int64), BASKET),
            rows(purchase, PURCHASE, looked + 650 + dwell + checkout - 10 * SECOND, CHECKOUT),
            rows(dislike, DISLIKE, looked + 50),
        ]
    )
    last = k - 1 - np.argmax(purchase[:, ::-1], axis=1)
    bought = np.where(purchase.any(axis=1), items[np.arange(n), last], -1)
    return Reaction(made[np.argsort(made["time"], kind="stable")], at + done[:, -1] + 500, bought)


def _wish(rng: np.random.Generator, wishes: NDArray[np.float32]) -> NDArray[np.int64]:
    """Draw a leaf for each visit: mostly by its wishes, `[n, n_leaves]`, sometimes anything."""
    n, n_leaves = wishes.shape
    cumulated = np.cumsum(wishes, axis=1)
    leaf = (rng.random((n, 1)) * cumulated[:, -1:] > cumulated).sum(axis=1)
    return np.where(rng.random(n) < ANYTHING, rng.integers(n_leaves, size=n), leaf)
