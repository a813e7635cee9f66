"""Sessions end with a pause, make room for newer ones, and go on from a dump."""

from __future__ import annotations

import numpy as np
from test_source_contract import NOW, made, scores, touched

from nearline.schema.clock import HOUR, SECOND
from nearline.schema.components import FoldBatch
from nearline.schema.ids import key
from nearline.sources.sessions import SessionSource, SessionTables


def test_what_others_touched_in_one_session_goes_together_until_a_pause() -> None:
    steps = [(f"a-{n}", item, 2) for n in range(4) for item in (1, 2, 3)]
    events = touched([*steps, ("someone", 1, 2)], offset=0)
    # All come back after two hours for one more: another session.
    events["ts"][2:12:3] += 2 * HOUR
    source, world = made(SessionSource, events)
    found = scores(source, world, "someone")
    assert found == {1: 4.0, 2: 4.0}
    world.apply(touched([("someone", 2, 2)], offset=100))
    assert scores(source, world, "someone")[2] > found[2]
    world.state.forget(key("a-0"))
    world.state.forget(key("a-1"))
    # What they touched in the session under way is gone; an ended session names nobody and stays.
    assert scores(source, world, "someone").keys() == {1, 2}


def test_old_sessions_make_room_and_a_dump_goes_on() -> None:
    random = np.random.default_rng(2)
    n = 600
    events = touched([(f"u-{random.integers(40)}", int(random.integers(50)), 2) for _ in range(n)], offset=0)
    events["ts"] = NOW + np.arange(n) * 200 * SECOND
    _, users = np.unique(events["user"], return_inverse=True)
    _, items = np.unique(events["item"], return_inverse=True)

    def batch(begin: int, end: int) -> FoldBatch:
        own = slice(begin, end)
        reset = np.zeros(end - begin, np.uint8)
        return FoldBatch(events[own], users[own].astype(np.int32), items[own].astype(np.int32), reset)

    whole, parts = SessionTables(sessions=16), SessionTables(sessions=16)
    whole.update(batch(0, n))
    for begin in range(0, n, 50):
        parts.update(batch(begin, begin + 50))
        again = SessionTables(sessions=16)
        again.load({name: array.copy() for name, array in parts.dump().items()})
        parts = again
    assert whole.newest[0] > 100
    for name, array in whole.dump().items():
        assert np.array_equal(array, parts.dump()[name]), name
    live = whole.number_of[whole.number_of > 0]
    assert live.min() > whole.newest[0] - 16
