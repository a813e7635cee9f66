"""A shop that knows the truth: its past without a recommender, and what would have been best to show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from nearline.schema.clock import DAY, HOUR, SECOND
from nearline.schema.errors import NearlineError
from nearline.sim.behaviour import ANYTHING, TAKES_UP, Reaction, Sessions, complement, next_intent, react, sessions_of_day
from nearline.sim.catalog import SimItem, make_catalog
from nearline.sim.config import STILL, ShopConfig
from nearline.sim.drift import Tastes
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
from nearline.sim.memory import Memory
from nearline.sim.people import NO_INTENT, make_people
from nearline.sim.season import Season
from nearline.sim.taxonomy import LEAVES
from nearline.sim.worth import Worth, worth

END_MS = 1_767_225_600_000
"""When a world's past ends unless told otherwise: 2026-01-01T00:00Z."""

_PLACES = 24


class ShopWorld:
    """A seeded shop.

    Args:
        seed: same seed, same bytes.
        users: people with tastes, at the present.
        items: size of the catalogue, at the present.
        bots: further accounts that crawl the shop at inhuman rates.
        end_ms: ms UTC, the present.
        arrival_days: days before `end_ms` over which new items arrived.
        config: what changes over time; by default nothing does.

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
        config: ShopConfig = STILL,
    ) -> None:
        if seed < 0:
            raise NearlineError("seed", seed, "use 0 or a positive integer")
        if users < 1:
            raise NearlineError("users", users, "ask for 1 or more")
        self.seed, self.end_ms, self.config = seed, end_ms, config
        self.catalog = make_catalog(seed, items, end_ms, arrival_days, config)
        self.people = make_people(seed, users, end_ms, config)
        people = len(self.people.ids)
        self.bots: tuple[str, ...] = tuple(f"u{people + row:05d}" for row in range(bots))
        self._names = self.people.ids + self.bots
        self._all = np.arange(len(self.items))[None, :]
        self.tastes, self.season = Tastes(seed, self.people, config.drift), Season(seed, config)

    @property
    def items(self) -> tuple[SimItem, ...]:
        """Return the catalogue in the client's form, with what arrives after the present."""
        return self.catalog.items

    def items_at(self, now: int, after: int = -1) -> tuple[SimItem, ...]:
        """Return the items created in (after, now], ms UTC."""
        rows = np.flatnonzero((self.catalog.created_at > after) & (self.catalog.created_at <= now))
        return self.items if len(rows) == len(self.items) else tuple(self.items[row] for row in rows)

    def memory(self) -> Memory:
        """Return what people remember at the beginning of a run: nothing."""
        return Memory(len(self.people.ids))

    def sessions(self, rng: np.random.Generator, day_ms: int, memory: Memory, rate: float = 1.0) -> Sessions:
        """Draw the visits of the day that begins at `day_ms` (ms UTC)."""

        def wishes(users: NDArray[np.int64], at: NDArray[np.int64]) -> NDArray[np.float32]:
            return self.wishes(users, at, memory)

        return sessions_of_day(rng, self.people, day_ms, memory, rate, wishes, self.config)

    def wishes(self, users: NDArray[np.int64], at: NDArray[np.int64], memory: Memory) -> NDArray[np.float32]:
        """Return how much users want each leaf, not normalised, `[n, n_leaves] float32`.

        Args:
            users: rows, `[n] int64`.
            at: when, ms UTC, `[n] int64`; tastes are those of the first one's day.
            memory: what they bought.
        """
        taste = self._taste(at)[users]
        return np.asarray(taste * np.exp(self._moods(users, at, memory)), np.float32) if self.config.moody else taste

    def utility(
        self,
        users: NDArray[np.int64],
        items: NDArray[np.int64],
        intents: NDArray[np.int64],
        at: NDArray[np.int64],
        memory: Memory,
    ) -> NDArray[np.float32]:
        """Return the true utility in a visit, in logits: that of `People.utility`, and what the configuration adds.

        Args:
            users: rows, `[n] int64`.
            items: rows, `[n, k] int64`.
            intents: the leaf each visit is after, or `NO_INTENT`, `[n] int64`.
            at: when, ms UTC, `[n] int64`; tastes are those of the first one's day.
            memory: what they bought.

        Returns:
            `[n, k] float32`.
        """
        config, catalog, people = self.config, self.catalog, self.people
        total = people.utility(catalog, users, items, intents, self._taste(at))
        if config.moody:
            total += np.take_along_axis(self._moods(users, at, memory), catalog.leaf[items], axis=1)
        if config.style:
            total += np.float32(config.style) * people.style[users[:, None], catalog.style[items]]
        if config.price:
            total -= np.float32(config.price) * people.thrift[users, None] * catalog.price_z[items]
        return total

    def in_list(
        self,
        utility: NDArray[np.float32],
        items: NDArray[np.int64],
        intents: NDArray[np.int64],
        shown: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.float32]:
        """Return utilities, `[n, k] float32`, less what sameness in a list costs; items `[n, k]`, best first."""
        if not self.config.sameness:
            return utility
        leaf = self.catalog.leaf[items]
        alike = (leaf[:, :, None] == leaf[:, None, :]) & np.tri(items.shape[1], k=-1, dtype=bool)
        if shown is not None:
            alike &= shown[:, None, :]
        earlier = np.where(leaf == intents[:, None], 0, alike.sum(axis=2))
        return np.asarray(utility - self.config.sameness * earlier, np.float32)

    def value(
        self,
        user_id: str,
        item_ids: Sequence[str],
        now: int | None = None,
        *,
        intent: int | None = None,
        memory: Memory | None = None,
    ) -> Worth:
        """Return what a list is truly worth to a user: expected clicks and purchases.

        Args:
            user_id: whose.
            item_ids: the list, best first.
            now: ms UTC; the world's present when not given.
            intent: the leaf that the visit is after, or `NO_INTENT`; when not given, the expectation over what a new visit
                may be after.
            memory: what people bought so far; nothing when not given.

        Raises:
            NearlineError: an unknown user or item.
        """
        user, rows = self._user(user_id), np.array([self._item(item) for item in item_ids], dtype=np.int64)
        if not len(rows):
            return Worth(0.0, 0.0)
        memory = memory or self.memory()
        when = np.array([self.end_ms if now is None else now])
        if intent is None:
            intents, weights = np.arange(len(LEAVES)), self._intents(user, when, memory)
        else:
            intents, weights = np.array([intent]), np.ones(1)
        n = len(intents)
        users, items = np.full(n, user), np.tile(rows, (n, 1))
        utility = self.utility(users, items, intents, np.repeat(when, n), memory)
        return worth(self.in_list(utility, items, intents), weights)

    def _intents(self, user: int, when: NDArray[np.int64], memory: Memory) -> NDArray[np.float64]:
        """Return the probability of each leaf to be what a new visit is after, `[n_leaves] float64`."""
        wishes = self.wishes(np.array([user]), when, memory)[0].astype(np.float64)
        chance = (1 - ANYTHING) * wishes / wishes.sum() + ANYTHING / len(wishes)
        if (owed := memory.owed[user]) >= 0:
            chance *= 1 - TAKES_UP
            chance[owed] += TAKES_UP
        return np.asarray(chance)

    def _taste(self, at: NDArray[np.int64]) -> NDArray[np.float32]:
        return self.tastes.at(int((at[0] - self.end_ms) // DAY) if len(at) else 0)

    def _moods(self, users: NDArray[np.int64], at: NDArray[np.int64], memory: Memory) -> NDArray[np.float32]:
        """Return what time and purchases add to each leaf, `[n, n_leaves] float32` logits."""
        return self.season.at(at) + memory.wants(self.config, users, at)

    def utilities(
        self, user_id: str, intent: int = NO_INTENT, now: int | None = None, memory: Memory | None = None
    ) -> NDArray[np.float32]:
        """Return the true utility of all items for a user, `[n_items] float32`; lasting without an intent.

        Args:
            user_id: whose.
            intent: the leaf that a visit is after.
            now: ms UTC; the world's present when not given.
            memory: what people bought so far; nothing when not given.
        """
        user, when = np.array([self._user(user_id)]), np.array([self.end_ms if now is None else now])
        return self.utility(user, self._all, np.array([intent]), when, memory or self.memory()).ravel()

    def truth(self, user_id: str, item_id: str) -> float:
        """Return the true lasting utility of an item for a user, in logits, without any session's intent."""
        return float(self.utilities(user_id)[self._item(item_id)])

    def ideal_list(
        self, user_id: str, candidates: Sequence[str] | None = None, k: int = 20, now: int | None = None
    ) -> list[str]:
        """Return the `k` best of the candidates for a user by lasting taste, best first.

        Args:
            user_id: whose.
            candidates: item ids; all items that are there when not given.
            k: how many.
            now: ms UTC; the world's present when not given.
        """
        utility = self.utilities(user_id, now=now)
        there = np.flatnonzero(self.catalog.created_at <= (self.end_ms if now is None else now))
        rows = there if candidates is None else np.array([self._item(c) for c in candidates], dtype=np.int64)
        best = rows[np.argsort(-utility[rows], kind="stable")[:k]]
        return [self.items[row].item_id for row in best]

    def history(self, days: int = 30, end_ms: int | None = None) -> Iterator[list[SimEvent]]:
        """Generate organic traffic day by day, in time order, up to `end_ms` (the world's unless given).

        Items are not shown before they are created, so long before the world's end the shop is emptier.
        """
        end = self.end_ms if end_ms is None else end_ms
        memory = self.memory()
        waiting, sessions, written = np.zeros(0, ROW), 0, 0
        for day in range(days):
            start = end - (days - day) * DAY
            rng = np.random.default_rng([self.seed, 3, day])
            rows, sessions = self._day(rng, start, memory, sessions)
            rows = np.concatenate([waiting, rows])
            rows = rows[np.argsort(rows["time"], kind="stable")]
            until = int(np.searchsorted(rows["time"], start + DAY))
            waiting = rows[until:]
            events = to_events(rows[:until], self._names, self.catalog, written, str(self.seed))
            written += until
            yield events

    def _day(self, rng: np.random.Generator, start: int, memory: Memory, first: int) -> tuple[Rows, int]:
        """Return a day's rows, some of them later than the day, and the number of the next session."""
        visits = self.sessions(rng, start, memory)
        number, user = first + np.arange(len(visits.user)), visits.user
        at, intent, left = visits.start, visits.intent, visits.lists
        made: list[Rows] = []
        while len(user):
            asked, result, bought = self.browse(rng, number, user, at, intent, memory)
            made += [asked, result.rows, self._afterwards(rng, result.rows)]
            intent = next_intent(rng, intent, bought)
            left = left - 1
            stays = left > 0
            at = result.end + rng.integers(2 * SECOND, 40 * SECOND, len(user))
            number, user, at, intent, left = (c[stays] for c in (number, user, at, intent, left))
        made.append(self._crawl(rng, start, first + len(visits.user)))
        return np.concatenate(made), first + len(visits.user) + len(self.bots)

    def browse(
        self,
        rng: np.random.Generator,
        number: NDArray[np.int64],
        user: NDArray[np.int64],
        at: NDArray[np.int64],
        intent: NDArray[np.int64],
        memory: Memory,
    ) -> tuple[Rows, Reaction, NDArray[np.int64]]:
        """Let visitors open a page of the shop's own: home, category or search.

        Args:
            rng: where the draws come from.
            number: of the session, `[n] int64`.
            user: rows, `[n] int64`.
            at: when, ms UTC, `[n] int64`.
            intent: leaf that each is after, `[n] int64`.
            memory: takes up what they buy.

        Returns:
            Rows of searches; what became of the pages; the leaf bought from last, or -1, `[n] int64`.
        """
        page = rng.choice([HOME, CATEGORY, RESULTS], len(user), p=[0.25, 0.4, 0.35])
        asks = page == RESULTS
        device = self.people.device
        asked = rows_of(
            int(asks.sum()), time=at[asks], user=user[asks], session=number[asks], kind=SEARCH, page=RESULTS,
            query=intent[asks], device=device[user[asks]],
        )  # fmt: skip
        items = self.catalog.shelf(rng, np.where(page == HOME, -1, intent), _PLACES)
        shown = ~_repeated(items) & (self.catalog.created_at[items] <= at[:, None])
        utility = self.utility(user, items, intent, at, memory)
        result = react(rng, at, items, self.in_list(utility, items, intent, shown), shown, page)
        rows, of = result.rows, result.rows["session"].copy()
        rows["user"], rows["session"], rows["device"] = user[of], number[of], device[user[of]]
        return asked, result, self.settle(user, rows, result.bought, memory)

    def settle(self, user: NDArray[np.int64], rows: Rows, bought: NDArray[np.int64], memory: Memory) -> NDArray[np.int64]:
        """Note purchases: `rows` hold them, `bought` the item each user bought last, or -1; return its leaf, or -1."""
        leaf = np.where(bought >= 0, self.catalog.leaf[bought], -1)
        memory.owed[user[leaf >= 0]] = complement(leaf[leaf >= 0])
        paid = rows[rows["kind"] == PURCHASE]
        memory.buy(paid["user"], self.catalog.leaf[paid["item"]], paid["time"])
        return leaf

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
