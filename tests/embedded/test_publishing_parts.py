"""The parts of publishing that no process test can drive into every corner: what is committed when, who is given up when."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from nearline.embedded.publishing.courier import MOST, Courier
from nearline.embedded.publishing.dead import DeadLetter, DeadLetters
from nearline.embedded.publishing.ledger import Ledger, Ticket
from nearline.schema.clock import WallClock
from nearline.schema.errors import StoreUnavailableError
from nearline.schema.event import ERASE, Record
from nearline.schema.result import Result
from nearline.stores.log import Page
from nearline.stores.subscriber import Failure

KINDS = st.sampled_from(["click", "click", "view", ERASE])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(1, 5)),
        st.tuples(st.just("make"), st.integers(0, 3)),
        st.tuples(st.just("settle"), st.integers(0, 9)),
        st.tuples(st.just("crash"), st.just(0)),
    ),
    max_size=40,
)


@given(st.lists(st.tuples(st.integers(0, 5), KINDS), min_size=5, max_size=40), STEPS)
def test_whatever_crashes_when_each_event_is_in_a_list_that_was_delivered(
    events: list[tuple[int, str]], steps: list[tuple[str, int]]
) -> None:
    log = [Record("", kind, f"u{user}", "i", 0, 0) for user, kind in events]
    delivered: dict[str, int] = {}
    committed = 0

    def started() -> Ledger:
        made = Ledger(["click"], 0.0)
        made.given({0: committed})
        return made

    ledger, at, tickets = started(), 0, list[tuple[str, int, Ticket]]()

    def read(n: int) -> int:
        ledger.note(Page("user_events", 0, at, log[at : at + n]))
        return min(len(log), at + n)

    def make(n: int) -> None:
        for due in ledger.ready(n):
            tickets.append((due.user_id, at, ledger.begun(due, at, 2)))

    def settle(place: int) -> None:
        if place < len(tickets):
            user, seen, ticket = tickets.pop(place)
            ledger.settled.extend((ticket, ticket))
            delivered[user] = max(delivered.get(user, 0), seen)

    for what, n in steps:
        if what == "read":
            at = read(n)
        elif what == "make":
            make(n)
        elif what == "settle":
            settle(n)
        else:
            committed = ledger.done()[0]
            ledger, at, tickets = started(), committed, []
        # Nothing below what would be committed now lacks its list.
        for offset, record in enumerate(log[: ledger.done()[0]]):
            if record.event_type in ("click", ERASE):
                assert delivered.get(record.user_id, 0) > offset
    at = read(len(log))
    make(len(log))
    while tickets:
        settle(0)
    assert ledger.done() == {0: len(log)}
    assert not ledger.due
    for offset, record in enumerate(log):
        assert record.event_type == "view" or delivered[record.user_id] > offset


def test_what_happens_while_a_list_waits_is_in_it_and_no_list_is_made_twice() -> None:
    ledger = Ledger(["click"], 60.0)
    ledger.given({0: 0, 1: 7})
    page = [Record("", kind, user, "i", 0, 0) for user, kind in (("a", "click"), ("b", "view"), ("a", "$carried:click"))]
    ledger.note(Page("user_events", 0, 0, page))
    ledger.note(Page("user_events", 2, 0, page))  # another's
    assert ledger.noted == 2
    assert ledger.ready(9) == []
    (due,) = ledger.due.values()
    assert (due.user_id, due.first, due.last, due.erased) == ("a", 0, 2, False)
    assert ledger.done() == {0: 0, 1: 7}
    ticket = ledger.begun(due, 3, 1)
    assert ledger.done() == {0: 0, 1: 7}
    ledger.note(Page("user_events", 0, 0, page))  # read again: the list has seen it
    assert not ledger.due
    ledger.settled.append(ticket)
    assert ledger.done() == {0: 3, 1: 7}
    ledger.taken([0])
    assert ledger.done() == {1: 7}


class Told:
    """A subscriber that does as it is told."""

    def __init__(self) -> None:
        self.act: Callable[[Sequence[Result]], list[Failure]] = lambda results: []
        self.got: list[Result] = []
        self.asked: list[float] = []

    def deliver(self, results: Sequence[Result]) -> list[Failure]:
        self.asked.append(time.monotonic())
        failures = self.act(results)
        failed = {failure.place for failure in failures}
        self.got += [result for place, result in enumerate(results) if place not in failed]
        return failures

    def close(self) -> None:
        """Nothing is held."""


def result(user: str, offset: int, surface: str = "homepage") -> Result:
    return Result("default", user, surface, [], offset, "none", offset, f"{offset}-{surface}")


def away(results: Sequence[Result]) -> list[Failure]:
    raise StoreUnavailableError("away")


def test_a_subscriber_is_left_alone_longer_and_longer_and_then_given_up(tmp_path: Path) -> None:
    told, letters, done = Told(), DeadLetters(tmp_path), list[int]()
    told.act = away
    courier = Courier("told", told, letters, WallClock(), 2.0)
    for user in range(250):
        courier.put(result(f"u{user}", user), partial(done.append, user))
    assert courier.drained(20)
    pauses = [b - a for a, b in zip(told.asked, told.asked[1:], strict=False)]
    assert 2 <= len(pauses) < 12, "each failure makes it wait longer"
    assert courier.dead == 250
    assert sorted(done) == list(range(250))
    assert {letter.reason for letter in letters.take()} == {"away"}
    told.act = lambda results: []
    courier.put(result("u1", 999))
    assert courier.drained(10)
    assert told.got[-1].offset == 999
    courier.close()


def test_one_that_is_refused_goes_alone_and_a_newer_list_takes_the_place_of_an_older(tmp_path: Path) -> None:
    told, letters, done, gate = Told(), DeadLetters(tmp_path), list[str](), threading.Event()

    def act(results: Sequence[Result]) -> list[Failure]:
        gate.wait(20)
        wrong = [place for place, one in enumerate(results) if one.user_id == "bad"]
        busy = [place for place, one in enumerate(results) if one.user_id == "busy" and len(told.asked) < 4]
        return [Failure(place, "no", final=True) for place in wrong] + [Failure(place, "later") for place in busy]

    told.act = act
    courier = Courier("told", told, letters, WallClock(), 30.0)
    courier.put(result("first", 1), partial(done.append, "first"))
    while not told.asked:
        time.sleep(0.001)
    courier.put(result("first", 2), partial(done.append, "first newer"))  # the older one is under way
    assert done == ["first"]
    for offset in range(3):
        courier.put(result("ann", offset), partial(done.append, f"ann {offset}"))
    courier.put(result("bad", 1), partial(done.append, "bad"))
    courier.put(result("busy", 1), partial(done.append, "busy"))
    assert done == ["first", "ann 0", "ann 1"]
    gate.set()
    assert courier.drained(20)
    assert sorted(done[3:]) == ["ann 2", "bad", "busy", "first newer"]
    assert [(one.user_id, one.offset) for one in told.got] == [("first", 1), ("first", 2), ("ann", 2), ("busy", 1)]
    (letter,) = letters.take()
    assert (letter.to, letter.reason, letter.result.user_id) == ("told", "no", "bad")
    assert (courier.delivered, courier.dead) == (4, 1)
    assert courier.retried >= 1
    courier.close()


def test_a_queue_has_an_end(tmp_path: Path) -> None:
    told, letters, gate = Told(), DeadLetters(tmp_path), threading.Event()

    def act(results: Sequence[Result]) -> list[Failure]:
        gate.wait(60)
        return []

    told.act = act
    courier = Courier("told", told, letters, WallClock(), 60.0)
    for user in range(MOST + 1):
        courier.put(result(f"u{user}", 1))
    assert courier.dead == MOST // 10
    assert courier.waiting == MOST + 1 - MOST // 10
    gate.set()
    assert courier.drained(30)
    courier.close()


def test_dead_letters_outlive_crashes_and_go_with_their_user(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path)
    assert letters.take() == []
    letters.write([DeadLetter("a", "r", 1, result("ann", 1)), DeadLetter("b", "r", 1, result("ann", 1))])
    letters.write([DeadLetter("a", "r", 2, result("ann", 2)), DeadLetter("a", "r", 3, result("bob", 1))])
    with letters.path.open("ab") as file:
        file.write(b'{"to": "a", "rea')  # a process was killed as it wrote
    assert [(one.to, one.result.user_id, one.result.offset) for one in letters.take()] == [
        ("a", "ann", 2),
        ("b", "ann", 1),
        ("a", "bob", 1),
    ]
    # Killed before `done`: they are there again, with what came meanwhile.
    letters.write([DeadLetter("a", "r", 4, result("ann", 3))])
    letters = DeadLetters(tmp_path)
    assert [one.result.offset for one in letters.take() if one.to == "a" and one.result.user_id == "ann"] == [3]
    letters.forget("ann")
    assert [one.result.user_id for one in letters.take()] == ["bob"]
    letters.done()
    assert letters.take() == []
