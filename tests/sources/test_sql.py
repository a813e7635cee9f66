"""What a database says goes together: PostgreSQL with the log in it, any query, and what is refused."""

from __future__ import annotations

import sqlite3
import uuid
from pathlib import Path

import pytest

from engines.postgresql import Postgresql
from nearline.schema.components import FitData
from nearline.schema.errors import NearlineError
from nearline.schema.event import Record, empty_events
from nearline.schema.ids import keys
from nearline.sources.sql import SqlSource
from nearline.stores.open_log import LogPlace, open_log

NOW = 1_790_000_000_000
MINUTE = 60_000


def data(now: int = NOW) -> FitData:
    return FitData(empty_events(0), keys(["a", "b", "c", "d"]), now, 1)


def neighbours(source: SqlSource, now: int = NOW) -> dict[str, list[str]]:
    """Who speaks for whom, strongest first."""
    arrays, names = source.fit(data(now)), {int(key): name for key, name in zip(keys("abcd"), "abcd", strict=True)}
    if not arrays:
        return {}
    ids = [names[int(key)] for key in arrays["keys"]]
    return {
        ids[row]: [ids[place] for place, weight in zip(places, weights, strict=True) if weight > 0]
        for row, (places, weights) in enumerate(zip(arrays["neighbours"], arrays["weights"], strict=True))
    }


def test_what_visitors_touched_within_an_hour(postgresql_server: Postgresql) -> None:
    log = open_log(LogPlace(postgresql_server.url, Path(), f"t{uuid.uuid4().hex[:8]}"))
    steps = [
        ("u1", "a", 500), ("u1", "b", 490), ("u2", "a", 400), ("u2", "b", 390), ("u2", "c", 380),
        ("u3", "c", 300), ("u3", "d", 200),  # too far apart
        ("u4", "a", 30), ("u4", "c", 20), ("u5", "a", 30), ("u5", "c", 20), ("u6", "a", 10), ("u6", "elsewhere", 9),
    ]  # fmt: skip
    records = [Record(f"e{n}", "click", user, item, NOW - ago * MINUTE, NOW) for n, (user, item, ago) in enumerate(steps)]
    log.append({"user_events": records})
    log.close()
    source = SqlSource(postgresql_server.url)
    assert neighbours(source) == {"a": ["c", "b"], "b": ["a", "c"], "c": ["a", "b"]}
    # What came after the split is not seen.
    assert neighbours(source, NOW - 60 * MINUTE)["a"] == ["b", "c"]
    assert neighbours(source, NOW - 900 * MINUTE) == {}


def test_a_query_of_ones_own(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shop.db") as shop:
        shop.execute("CREATE TABLE fits (part, machine, sales, since)")
        shop.executemany("INSERT INTO fits VALUES (?, ?, ?, ?)", [("a", "b", 3, 1), ("a", "d", 9, 1), ("a", "c", 5, NOW + 1)])
    query = "SELECT part, machine, sales FROM fits WHERE since < :until"
    assert neighbours(SqlSource(f"sqlite:{tmp_path}/shop.db", query)) == {"a": ["d", "b"], "b": [], "d": []}


@pytest.mark.parametrize(
    ("url", "query", "said"),
    [
        ("sqlite:{path}", "SELECT a, b, c FROM nowhere", "the database says: no such table: nowhere"),
        ("sqlite:{path}", "SELECT 'a', 'b'", "two items' ids and a number"),
        ("sqlite:{path}", "SELECT 'a', 'b', 'much'", "two items' ids and a number"),
        ("postgresql://127.0.0.1:1/none", "SELECT 1", "the database says: "),
        ("oracle://host", "SELECT 1", "use postgresql: or sqlite:"),
    ],
)
def test_what_can_not_be_asked_is_refused(tmp_path: Path, url: str, query: str, said: str) -> None:
    sqlite3.connect(tmp_path / "empty.db").close()
    with pytest.raises(NearlineError, match=said):
        SqlSource(url.format(path=tmp_path / "empty.db"), query).fit(data())
