"""Lessons from impressions: who was shown what and did what, each list once."""

from __future__ import annotations

import msgspec
import numpy as np

from nearline.app.definition import App
from nearline.batch.impressions import impression_lessons, touches
from nearline.schema.event import EventType, Record
from nearline.schema.ids import keys
from nearline.schema.served import Impression

APP = App(events=["seen", "view", "click", "purchase", "dislike"])
NOW = 1_790_000_000_000
SHOWN = msgspec.json.encode(
    Impression(list("abcd"), [4.0, 3.0, 2.0, 1.0], ["trending"] * 4, NOW, 7, "homepage", "", "trending")
).decode()


def lessons(*acts: tuple[str, str], twice: bool = False) -> list[tuple[list[int], list[list[float]]]]:
    """Items (by key) and outcomes of the lessons from one list and what became of it."""
    kinds = APP.kinds()
    shown = Record("", "impression", "u", "", NOW, NOW, request_id="r1", context=SHOWN)
    acted = [Record(f"e{n}", kind, "u", item, NOW + n, NOW + n, request_id="r1") for n, (kind, item) in enumerate(acts)]
    found = impression_lessons([shown, shown] if twice else [shown], touches(acted, kinds, NOW + 100), kinds, 0, NOW + 100)
    return [(lesson.items.tolist(), lesson.outcomes.tolist()) for lesson in found]


def of(*names: str) -> list[int]:
    found: list[int] = np.asarray(keys(names)).tolist()
    return found


def test_what_is_above_the_deepest_touch_was_passed_over() -> None:
    click = APP.kinds().outcomes.index(APP.kinds().place("click"))
    ((items, outcomes),) = lessons(("click", "c"))
    assert items == of("a", "b", "c")
    assert [row[click] for row in outcomes] == [0.0, 0.0, 1.0]
    ((items, _),) = lessons(("seen", "a"), ("seen", "d"), ("click", "c"))
    assert items == of("a", "c", "d")
    ((items, outcomes),) = lessons(("dislike", "a"), ("click", "b"))
    assert (items, [row[click] for row in outcomes]) == (of("a", "b"), [0.0, 1.0])


def test_a_list_that_nobody_touched_teaches_nothing() -> None:
    assert lessons() == lessons(("seen", "a")) == lessons(("click", "elsewhere")) == []


def test_an_impression_that_stands_in_the_log_twice_teaches_once() -> None:
    assert lessons(("click", "b"), twice=True) == lessons(("click", "b"))


def test_whole_lists_teach_where_each_place_stood_and_untouched_ones_stand_for_all_of_them() -> None:
    kinds = APP.kinds()
    shown = [Record("", "impression", "u", "", NOW, NOW, request_id=f"r{n}", context=SHOWN) for n in range(12)]
    acted = [Record(f"e{n}", "click", "u", "bc"[n % 2], NOW + n, NOW + n, request_id=f"r{n}") for n in range(3)]
    acted.append(Record("e9", "dislike", "u", "a", NOW + 9, NOW + 9, request_id="r0"))
    found = impression_lessons(shown, touches(acted, kinds, NOW + 100), kinds, 0, NOW + 100, None, True, 1)
    assert [len(lesson.items) for lesson in found] == [4] * 6
    assert [lesson.weight for lesson in found] == [1.0] * 3 + [3.0] * 3
    places = found[0].places
    assert places is not None
    assert places.rank.tolist() == [1, 2, 3, 4]
    assert places.doubtful.tolist() == [False, True, True, True]  # what was refused was looked at
    # Where pages report what was seen, only that teaches, and a list without a report nothing.
    seen = [Record(f"s{n}", "seen", "u", item, NOW, NOW, request_id="r5") for n, item in enumerate("ab")]
    found = impression_lessons(shown, touches([*acted, *seen], kinds, NOW + 100), kinds, 0, NOW + 100, None, True, 1)
    assert [len(lesson.items) for lesson in found] == [4, 4, 4, 2]
    assert found[3].places is not None
    assert not found[3].places.doubtful.any()
    assert found[3].weight == 1.0


def test_where_dwell_counts_an_outcome_is_a_share() -> None:
    kinds = App(events=[EventType("read", outcome=True, full_dwell=60), "seen"]).kinds()
    shown = [Record("", "impression", "u", "", NOW, NOW, request_id="r1", context=SHOWN)]
    times = {"a": 90_000, "b": 15_000, "c": None}
    acted = [Record(item, "read", "u", item, NOW + 1, NOW + 1, request_id="r1", dwell_ms=ms) for item, ms in times.items()]
    acted.append(Record("again", "read", "u", "b", NOW + 2, NOW + 2, request_id="r1", dwell_ms=3_000))
    (lesson,) = impression_lessons(shown, touches(acted, kinds, NOW + 100), kinds, 0, NOW + 100, whole=True)
    assert lesson.outcomes[:, 0].tolist() == [1.0, 0.25, 1.0, 0.0]
