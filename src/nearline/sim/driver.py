"""Simulated shoppers in front of a running server, through its HTTP API alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Literal
from urllib.parse import urlencode

import msgspec
import numpy as np
from numpy.typing import NDArray

from nearline.schema.clock import DAY, SECOND
from nearline.schema.errors import NearlineError
from nearline.sim.behaviour import Sessions, next_intent, react
from nearline.sim.client import Caller, Client
from nearline.sim.events import CLICK, HOME, PURCHASE, SEEN, Rows, to_events
from nearline.sim.memory import Memory
from nearline.sim.people import DEVICES, NO_INTENT
from nearline.sim.report import DayReport, DriveReport, ListNote, ServedList, mean_utility
from nearline.sim.world import ShopWorld
from nearline.sim.worth import Worth, worth

_PATIENCE = 10
_MOST_ITEMS = 500
"""Requests without any answer, in a row, after which the server is taken to be gone."""


def drive(
    base_url: str,
    world: ShopWorld,
    days: int = 1,
    *,
    start_ms: int | None = None,
    timestamps: Literal["server", "simulated"] = "simulated",
    page_size: int = 20,
    context: str = "homepage",
    rate: float = 1.0,
    max_sessions: int | None = None,
    run: int = 0,
    headers: Mapping[str, str] | None = None,
    client: Caller | None = None,
    progress: Callable[[float], None] = lambda days: None,
    memory: Memory | None = None,
    note: Callable[[ListNote], None] = lambda note: None,
    tick: Callable[[int], None] = lambda now: None,
    morning: Callable[[int, int], None] = lambda day, now: None,
) -> DriveReport:
    """Let the world's users visit a server for some simulated days.

    A visit asks for a list, looks down to a random depth, posts what was seen and done, and may ask again.
    Visits are drawn from (seed, run, day) and each has its own randomness: two servers face the same people. Items that
    arrive meanwhile are posted on the morning after they were created.

    Args:
        base_url: where the server is.
        world: who visits; the server should know its items.
        days: simulated days.
        start_ms: ms UTC of the first day; the world's end unless given.
        timestamps: "simulated" sends the simulated time, "server" none, so that the server assigns its own.
        page_size: items asked for.
        context: the surface asked for.
        rate: factor on everybody's activity.
        max_sessions: visits per day at most, the first ones of the day.
        run: tells drives apart; it is part of every event id and session id, and changes the draws.
        headers: sent with each request, such as an API key.
        client: instead of one made from `base_url` and `headers`.
        progress: told after each visit how many days are done, with the fraction of the present one.
        memory: what people bought in earlier drives; changed in place.
        note: told of each list.
        tick: told the simulated time (ms UTC) before each request.
        morning: told before a day's first visit which day it is, and when it begins (ms UTC).

    Raises:
        NearlineError: a wrong URL, or a server that stopped answering.
    """
    made = client or Client(base_url, headers)
    visits = _Visits(world, made, page_size, context, timestamps == "simulated", run, note, tick)
    memory = memory or world.memory()
    begin = world.end_ms if start_ms is None else start_ms
    try:
        for day in range(days):
            start = begin + day * DAY
            tick(start)
            morning(day, start)
            if day or start > world.end_ms:
                visits.stock(start)
            sessions = world.sessions(np.random.default_rng([world.seed, 4, run, day]), start, memory, rate)
            for visit in range(len(sessions.user))[:max_sessions]:
                own = np.random.default_rng([world.seed, 5, run, day, visit])
                visits.visit(own, day, sessions, visit, memory)
                progress(day + (visit + 1) / len(sessions.user))
            progress(day + 1)
    finally:
        if isinstance(made, Client) and made is not client:
            made.close()
    return visits.report(days)


class _Visits:
    """The state of one drive: counters, and the numbers of the next session and event."""

    def __init__(
        self,
        world: ShopWorld,
        client: Caller,
        page_size: int,
        context: str,
        timed: bool,
        run: int,
        note: Callable[[ListNote], None],
        tick: Callable[[int], None],
    ) -> None:
        self.world, self.client, self.page_size, self.context, self.timed = world, client, page_size, context, timed
        self.note, self.tick = note, tick
        self.prefix = f"{world.seed}-r{run}"
        self.sessions = self.numbered = self.events = self.errors = self.short = self.silent = 0
        self.days: Counter[tuple[int, str]] = Counter()
        self.list_seconds: list[float] = []
        self.post_seconds: list[float] = []
        self.lasting: list[tuple[float, float, float]] = []
        self.session: list[tuple[float, float, float]] = []

    def stock(self, now: int) -> None:
        """Post the items that arrived in the day before `now` (ms UTC)."""
        arrived = self.world.items_at(now, after=max(now - DAY, self.world.end_ms))
        for begin in range(0, len(arrived), _MOST_ITEMS):
            answer = self.client.post("/v1/items", msgspec.json.encode(arrived[begin : begin + _MOST_ITEMS]))
            self._heard(answer.status)
            self.errors += not answer.ok

    def visit(self, rng: np.random.Generator, day: int, of: Sessions, index: int, memory: Memory) -> None:
        """Play one session: up to `lists` rounds of asking, looking and telling."""
        user, at, intent = of.user[[index]], of.start[[index]], of.intent[[index]]
        number, self.sessions = self.sessions, self.sessions + 1
        for _ in range(int(of.lists[index])):
            self.tick(int(at[0]))
            served = self._ask(int(user[0]), number)
            items = self._rows_of(served)
            if served is None or not len(items):
                return
            judged = self._judge(rng, user, intent, at, items, memory)
            utility = self.world.in_list(judged[None, items], items[None, :], intent)
            shown = np.ones((1, len(items)), dtype=bool)
            home = np.full(1, HOME)
            result = react(rng, at, items[None, :], utility, shown, home, with_seen=True)
            rows = result.rows
            rows["user"], rows["session"], rows["device"] = user[0], number, self.world.people.device[user[0]]
            self._tell(rows, served.request_id)
            kinds = Counter(rows["kind"].tolist())
            for name, n in (
                ("lists", 1), ("served", len(items)), ("seen", kinds[SEEN]), ("clicks", kinds[CLICK]),
                ("purchases", kinds[PURCHASE]),
            ):  # fmt: skip
                self.days[day, name] += n
            self._note(day, int(user[0]), int(at[0]), items, kinds, worth(utility))
            bought = self.world.settle(user, rows, result.bought, memory)
            intent = next_intent(rng, intent, bought) if bought[0] >= 0 else intent
            at = result.end + rng.integers(2 * SECOND, 40 * SECOND, 1)
            if self.world.config.browsing and rng.random() < self.world.config.browsing:
                asked, result, bought = self.world.browse(rng, np.array([number]), user, at, intent, memory)
                self._tell(np.concatenate([asked, result.rows]), "")
                intent = next_intent(rng, intent, bought)
                at = result.end + rng.integers(2 * SECOND, 40 * SECOND, 1)

    def report(self, days: int) -> DriveReport:
        """Sum up."""
        names = ("lists", "served", "seen", "clicks", "purchases")
        p50, p99 = _percentiles(self.list_seconds)
        post_p50, post_p99 = _percentiles(self.post_seconds)
        return DriveReport(
            days=tuple(DayReport(day, **{name: self.days[day, name] for name in names}) for day in range(days)),
            lists=sum(self.days[day, "lists"] for day in range(days)),
            short=self.short,
            events=self.events,
            purchases=sum(self.days[day, "purchases"] for day in range(days)),
            lasting=mean_utility(self.lasting),
            session=mean_utility(self.session),
            errors=self.errors,
            retries=self.client.retries,
            p50_ms=p50,
            p99_ms=p99,
            post_p50_ms=post_p50,
            post_p99_ms=post_p99,
        )

    def _ask(self, user: int, number: int) -> ServedList | None:
        """Ask for a list; None when none came."""
        people = self.world.people
        query = urlencode(
            {
                "user_id": people.ids[user],
                "context": self.context,
                "page_size": self.page_size,
                "session_id": f"s{self.prefix}-{number}",
                "device": DEVICES[people.device[user]],
            }
        )
        answer = self.client.get(f"/v1/recommendations?{query}")
        self._heard(answer.status)
        if not answer.ok:
            self.errors += 1
            return None
        self.list_seconds.append(answer.seconds)
        try:
            served = msgspec.json.decode(answer.body, type=ServedList)
        except msgspec.DecodeError:
            self.errors += 1
            return None
        self.short += len(served.items) < self.page_size
        return served

    def _rows_of(self, served: ServedList | None) -> NDArray[np.int64]:
        """Return the catalogue rows of a list as served; items that the shop does not have are errors."""
        rows = [self.world.catalog.rows.get(item.item_id, -1) for item in (served.items if served else ())]
        self.errors += rows.count(-1)
        return np.array([row for row in rows if row >= 0], dtype=np.int64)

    def _note(self, day: int, user: int, at: int, items: NDArray[np.int64], kinds: Counter[int], truth: Worth) -> None:
        lasting, session = self.lasting[-1], self.session[-1]
        self.note(ListNote(day, user, at, items, kinds[CLICK], kinds[PURCHASE], truth, lasting, session))

    def _judge(
        self,
        rng: np.random.Generator,
        user: NDArray[np.int64],
        intent: NDArray[np.int64],
        at: NDArray[np.int64],
        items: NDArray[np.int64],
        memory: Memory,
    ) -> NDArray[np.float32]:
        """Note how good a list is beside the best and a random one; return all utilities in the session."""
        there = np.flatnonzero(self.world.catalog.created_at <= max(int(at[0]), self.world.end_ms))
        random = there[rng.integers(len(there), size=len(items))]
        who, now = self.world.people.ids[int(user[0])], int(at[0])
        session = self.world.utilities(who, int(intent[0]), now, memory)
        lasting = self.world.utilities(who, NO_INTENT, now, memory)
        for utility, notes in ((lasting, self.lasting), (session, self.session)):
            best = np.partition(utility[there], -len(items))[-len(items) :] if len(items) < len(there) else utility[there]
            notes.append((float(utility[items].mean()), float(best.mean()), float(utility[random].mean())))
        return session

    def _tell(self, rows: Rows, request_id: str) -> None:
        """Post what was seen and done, as one array."""
        events = to_events(
            rows,
            self.world.people.ids,
            self.world.catalog,
            self.numbered,
            self.prefix,
            request_id,
            self.timed,
        )
        self.numbered += len(events)
        if not events:
            return
        answer = self.client.post("/v1/events", msgspec.json.encode(events))
        self._heard(answer.status)
        self.post_seconds.append(answer.seconds)
        if answer.ok:
            self.events += len(events)
        else:
            self.errors += 1

    def _heard(self, status: int) -> None:
        self.silent = 0 if status else self.silent + 1
        if self.silent >= _PATIENCE:
            raise NearlineError("base_url", self.silent, "start the server, or check the URL: nothing answers there")


def _percentiles(seconds: list[float]) -> tuple[float, float]:
    """Return p50 and p99 in ms; zeros when there is nothing."""
    if not seconds:
        return 0.0, 0.0
    p50, p99 = np.percentile(np.array(seconds) * 1e3, [50, 99])
    return float(p50), float(p99)
