"""Protocols: what is asked for was never known before it was asked."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from nearline.batch.dataset import Dataset, assemble
from nearline.batch.importers import load_dataset
from nearline.batch.protocols import Holdout, Split, known_items, leave_one_out, next_event, one_point
from nearline.schema.errors import NearlineError

DATA = Path(os.environ.get("NEARLINE_DATA") or Path(__file__).parents[2] / ".." / "shared" / "data")
HOLDOUTS: tuple[Holdout, ...] = ("test", "validation")
Triple = tuple[str, str, int]


def made(n: int = 3000, seed: int = 7) -> Dataset:
    """Return events of skewed users and items with many equal times and repeated pairs."""
    random = np.random.default_rng(seed)
    table = pa.table(
        {
            "user_id": [f"u{i}" for i in random.zipf(1.3, n) % 200],
            "item_id": [f"i{i}" for i in random.zipf(1.3, n) % 150],
            "event_type": ["view"] * n,
            "timestamp": random.integers(1, n // 3, n) * 1000,
            "event_id": [f"e{i}" for i in range(n)],
        }
    )
    return assemble("made", table, [], {})


@pytest.fixture(scope="module", params=["made", "ml-100k", "movietweetings-100k"])
def data(request: pytest.FixtureRequest) -> Dataset:
    if request.param == "made":
        return made()
    if not (DATA / request.param).is_dir():
        pytest.skip(f"{DATA / request.param} is absent; set NEARLINE_DATA to the folder of the real sets")
    return load_dataset(DATA / request.param)


def triples(table: pa.Table) -> list[Triple]:
    return list(zip(*(table[name].to_pylist() for name in ("user_id", "item_id", "timestamp")), strict=True))


def histories(table: pa.Table) -> dict[str, list[Triple]]:
    out: defaultdict[str, list[Triple]] = defaultdict(list)
    for row in triples(table):
        out[row[0]].append(row)
    return dict(out)


def check_shape(split: Split) -> None:
    """Check what holds for every split."""
    assert split.cases
    revealed = [case.revealed for case in split.cases]
    assert revealed == sorted(revealed)
    assert revealed[-1] <= split.reveal.num_rows
    assert all(case.targets for case in split.cases)
    assert split.fit is split.known
    for part in (split.known, split.reveal):
        times = part["timestamp"].to_numpy()
        assert (np.diff(times) >= 0).all()
    assert split.fit_end == split.known["timestamp"][-1].as_py()


@pytest.mark.parametrize("holdout", HOLDOUTS)
def test_leave_one_out_asks_for_each_users_last(data: Dataset, holdout: Holdout) -> None:
    split = leave_one_out(data, holdout)
    check_shape(split)
    full = histories(data.events)
    known, revealed = histories(split.known), histories(split.reveal)
    asked = {case.user_id: case for case in split.cases}
    assert len(asked) == len(split.cases)
    assert set(asked) == {user for user, rows in full.items() if len(rows) >= 3}
    back = 1 if holdout == "test" else 2
    for user, rows in full.items():
        if user not in asked:
            assert known[user] == rows
            continue
        case = asked[user]
        assert (case.targets, case.now_ms) == (frozenset([rows[-back][1]]), rows[-back][2])
        assert known[user] == rows[:-2]
        assert revealed.get(user, []) == ([rows[-2]] if holdout == "test" else [])
        assert case.revealed == split.reveal.num_rows
        assert all(time <= case.now_ms for _, _, time in known[user] + revealed.get(user, []))


@pytest.mark.parametrize("holdout", HOLDOUTS)
def test_one_point_asks_for_new_known_items_once(data: Dataset, holdout: Holdout) -> None:
    split = one_point(data, holdout)
    check_shape(split)
    rows = triples(data.events)
    start = len(rows) * (9 if holdout == "test" else 8) // 10
    end = len(rows) if holdout == "test" else len(rows) * 9 // 10
    assert triples(split.known) == rows[:start]
    assert not split.reveal.num_rows
    seen = dict.fromkeys(item for _, item, _ in rows[:start])
    assert known_items(split) == tuple(seen)
    had: defaultdict[str, set[str]] = defaultdict(set)
    for user, item, _ in rows[:start]:
        had[user].add(item)
    expected: defaultdict[str, set[str]] = defaultdict(set)
    for user, item, _ in rows[start:end]:
        if user in had and item not in had[user] and item in seen:
            expected[user].add(item)
    assert {case.user_id: set(case.targets) for case in split.cases} == dict(expected)
    assert len(split.cases) == len(expected)
    assert {case.now_ms for case in split.cases} == {rows[start - 1][2]}


@pytest.mark.parametrize("holdout", HOLDOUTS)
def test_next_event_asks_before_it_reveals(data: Dataset, holdout: Holdout) -> None:
    split = next_event(data, holdout)
    check_shape(split)
    rows = triples(data.events)
    start = len(rows) * (9 if holdout == "test" else 8) // 10
    end = len(rows) if holdout == "test" else len(rows) * 9 // 10
    assert triples(split.known) == rows[:start]
    assert triples(split.reveal) == rows[start:end]
    assert [(c.user_id, *c.targets, c.now_ms) for c in split.cases] == rows[start:end]
    assert [case.revealed for case in split.cases] == list(range(end - start))  # all before it, not itself


def test_no_row_is_in_two_parts() -> None:
    events = made()
    total = set(events.events["event_id"].to_pylist())
    for holdout in HOLDOUTS:
        for protocol in (leave_one_out, one_point, next_event):
            split = protocol(events, holdout)
            known = split.known["event_id"].to_pylist()
            reveal = split.reveal["event_id"].to_pylist()
            assert len({*known, *reveal}) == len(known) + len(reveal)
            assert {*known, *reveal} <= total


def test_order_only_data_split_by_time() -> None:
    if not (DATA / "ml-1m").is_dir():
        pytest.skip(f"{DATA / 'ml-1m'} is absent; set NEARLINE_DATA to the folder of the real sets")
    split = leave_one_out(load_dataset(DATA / "ml-1m"))
    assert (split.known.num_rows, split.reveal.num_rows, len(split.cases)) == (987_531, 6_040, 6_040)
    reveal = split.reveal["timestamp"].to_numpy()
    assert split.fit_end < reveal.min()  # everybody's held-out events are later than everything fitted on
    assert reveal.max() < min(case.now_ms for case in split.cases)


def test_too_little_data_is_said() -> None:
    events = made(9)
    for protocol in (one_point, next_event):
        with pytest.raises(NearlineError, match="ten events"):
            protocol(events)
    once = pa.table(
        {
            "user_id": [f"u{i}" for i in range(20)],
            "item_id": ["a"] * 20,
            "event_type": ["view"] * 20,
            "timestamp": list(range(20)),
        }
    )
    alone = assemble("once", once, [], {})
    with pytest.raises(NearlineError, match="three events"):
        leave_one_out(alone)
    with pytest.raises(NearlineError, match="both sides"):
        one_point(alone)
