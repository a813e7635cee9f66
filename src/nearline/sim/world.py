"""A shop that knows the truth: its past without a recommender, and what would have been best to show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from nearline.schema.clock import DAY, HOUR, SECOND
from nearline.schema.errors import NearlineError
from nearline.sim.behaviour import complement, next_intent, react, sessions_of_day
from nearline.sim.catalog import SimItem, make_catalog
from nearline.sim.events import (
    CATEGORY,
    CLICK,
    HOME,
    ORDERS,
    PURCHASE,
    RATE,
    RESULTS,
    RETURN,
    ROW,
    SEARCH,
    VIEW,
    Rows,
    SimEvent,
    rows_of,
    to_events,
)
from nearline.sim.people import NO_INTENT, make_people

END_MS = 1_767_225_600_000
"""When a world's past ends unless told otherwise: 2026-01-01T00:00Z."""

_PLACES = 24


class ShopWorld:
    """A seeded shop.

    Args:
        seed: same seed, same bytes.
        users: people with tastes.
        items: size of the catalogue.
        bots: further accounts that crawl the shop at inhuman rates.
        end_ms: ms UTC, the present; every item exists by then.
        arrival_days: days before `end_ms` over which new items arrived.

    Raises:
        NearlineError: a negative seed, no users, or fewer items than leaf categories.
    """

    def __init__(
        self,
        seed: int = 0,
        users: int = 1_000,
        items: int = 2_000,
        bots: int = 4,
        end_ms: int = END_MS,
        arrival_days: int = 30,
    ) -> None:
        if seed < 0:
            raise NearlineError("seed", seed, "use 0 or a positive integer")
        if users < 1:
            raise NearlineError("users", users, "ask for 1 or more")
        self.seed, self.end_ms = seed, end_ms
        self.catalog = make_catalog(seed, items, end_ms, arrival_days)
        self.people = make_people(seed, users)
        self.bots: tuple[str, ...] = tuple(f"u{users + row:05d}" for row in range(bots))
        self._names = self.people.ids + self.bots
        self._all = np.arange(items)[None, :]

    @property
    def items(self) -> tuple[SimItem, ...]:
        """Return the catalogue in the client's form."""
        return self.catalog.items

    def utilities(self, user_id: str, intent: int = NO_INTENT) -> NDArray[np.float32]:
        """Return the true utility of all items for a user, `[n_items] float32`; lasting without an intent."""
        user = np.array([self._user(user_id)])
        return self.people.utility(self.catalog, user, self._all, np.array([intent])).ravel()

    def truth(self, user_id: str, item_id: str) -> float:
        """Return the true lasting utility of an item for a user, in logits, without any session's intent."""
        return float(self.utilities(user_id)[self._item(item_id)])

    def ideal_list(self, user_id: str, candidates: Sequence[str] | None = None, k: int = 20) -> list[str]:
        """Return the `k` best of the candidates (all items when None) for a user, best first."""
        utility = self.utilities(user_id)
        rows = self._all[0] if candidates is None else np.array([self._item(c) for c in candidates], dtype=np.int64)
        best = rows[np.argsort(-utility[rows], kind="stable")[:k]]
        return [self.items[row].item_id for row in best]

    def history(self, days: int = 30, end_ms: int | None = None) -> Iterator[list[SimEvent]]:
        """Generate organic traffic day by day, in time order, up to `end_ms` (the world's unless given).

        Items are not shown before they are created, so long before the world's end the shop is emptier.
        """
        end = self.end_ms if end_ms is None else end_ms
        owed = np.full(len(self.people.ids), -1, dtype=np.int64)
        waiting, sessions, written = np.zeros(0, ROW), 0, 0
        for day in range(days):
            start = end - (days - day) * DAY
            rng = np.random.default_rng([self.seed, 3, day])
            rows, sessions = self._day(rng, start, owed, sessions)
            rows = np.concatenate([waiting, rows])
            rows = rows[np.argsort(rows["time"], kind="stable")]
            until = int(np.searchsorted(rows["time"], start + DAY))
            waiting = rows[until:]
            events = to_events(rows[:until], self._names, self.catalog, written, str(self.seed))
            written += until
            yield events

    def _day(self, rng: np.random.Generator, start: int, owed: NDArray[np.int64], first: int) -> tuple[Rows, int]:
        """Return a day's rows, some of them later than the day, and the number of the next session."""
        visits = sessions_of_day(rng, self.people, start, owed)
        number, user = first + np.arange(len(visits.user)), visits.user
        at, intent, left = visits.start, visits.intent, visits.lists
        made: list[Rows] = []
        while len(user):
            page = rng.choice([HOME, CATEGORY, RESULTS], len(user), p=[0.25, 0.4, 0.35])
            asks = page == RESULTS
            made.append(
                rows_of(
                    int(asks.sum()),
                    time=at[asks],
                    user=user[asks],
                    session=number[asks],
                    kind=SEARCH,
                    page=RESULTS,
                    query=intent[asks],
                    device=self.people.device[user[asks]],
                )
            )
            items = self.catalog.shelf(rng, np.where(page == HOME, -1, intent), _PLACES)
            shown = ~_repeated(items) & (self.catalog.created_at[items] <= at[:, None])
            utility = self.people.utility(self.catalog, user, items, intent)
            result = react(rng, at, items, utility, shown, page)
            rows, of = result.rows, result.rows["session"].copy()
            rows["user"], rows["session"], rows["device"] = user[of], number[of], self.people.device[user[of]]
            made += [rows, self._afterwards(rng, rows)]
            bought = np.where(result.bought >= 0, self.catalog.leaf[result.bought], -1)
            owed[user[bought >= 0]] = complement(bought[bought >= 0])
            intent = next_intent(rng, intent, bought)
            left = left - 1
            stays = left > 0
            at = result.end + rng.integers(2 * SECOND, 40 * SECOND, len(user))
            number, user, at, intent, left = (c[stays] for c in (number, user, at, intent, left))
        made.append(self._crawl(rng, start, first + len(visits.user)))
        return np.concatenate(made), first + len(visits.user) + len(self.bots)

    def _afterwards(self, rng: np.random.Generator, rows: Rows) -> Rows:
        """Return what follows a purchase days later: a rating, or the item comes back."""
        bought = rows[rows["kind"] == PURCHASE]
        quality, chance = self.catalog.quality[bought["item"]], rng.random(len(bought))
        returns = chance < 0.12 / (1.0 + np.exp(1.5 * quality))
        rates = ~returns & (chance > 0.7)
        score = np.clip(np.rint(3.8 + 0.8 * quality + 0.6 * rng.standard_normal(len(bought))), 1, 5)
        delay = rng.integers(DAY, 9 * DAY, len(bought))
        happens = returns | rates
        later = rows_of(
            len(bought), time=bought["time"] + delay, user=bought["user"], item=bought["item"], page=ORDERS,
            kind=np.where(returns, RETURN, RATE), rating=np.where(rates, score, 0),
        )  # fmt: skip
        return np.asarray(later[happens])

    def _crawl(self, rng: np.random.Generator, start: int, first: int) -> Rows:
        """Return what the bots do: some days each opens hundreds of random items, several a second."""
        made = [np.zeros(0, ROW)]
        for bot in range(len(self.bots)):
            n = int(rng.integers(80, 240)) if rng.random() < 0.4 else 0
            time = start + int(rng.integers(20 * HOUR)) + np.cumsum(rng.integers(90, 400, n))
            item = rng.integers(len(self.items), size=n)
            alive = self.catalog.created_at[item] <= time
            kind = np.where(rng.random(n) < 0.5, CLICK, VIEW)
            made.append(
                rows_of(
                    n,
                    time=time,
                    user=len(self.people.ids) + bot,
                    session=first + bot,
                    kind=kind,
                    page=CATEGORY,
                    item=item,
                    position=np.where(kind == CLICK, 1 + np.arange(n) % _PLACES, 0),
                    dwell=np.where(kind == VIEW, 80, 0),
                    device=1,
                )[alive]
            )
        return np.concatenate(made)

    def _user(self, user_id: str) -> int:
        row = self.people.rows.get(user_id)
        if row is None:
            raise NearlineError("user_id", user_id, "use an id of world.people.ids; bots have no tastes")
        return row

    def _item(self, item_id: str) -> int:
        row = self.catalog.rows.get(item_id)
        if row is None:
            raise NearlineError("item_id", item_id, "use an id of world.items")
        return row


def _repeated(items: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return where a row of `[n, k]` names an item a second time."""
    order = np.argsort(items, axis=1, kind="stable")
    ordered = np.take_along_axis(items, order, axis=1)
    again = np.zeros(items.shape, dtype=bool)
    np.put_along_axis(again, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    return again
