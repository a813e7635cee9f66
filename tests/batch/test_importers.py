"""Importers: tiny made files of each format, dirty ones too, and the real sets where they are."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nearline.batch.dataset import EVENTS, Dataset, stamp
from nearline.batch.importers import FORMATS, load_dataset
from nearline.batch.importers.columns import milliseconds, numbers, text
from nearline.batch.importers.movielens import END
from nearline.schema.errors import NearlineError
from nearline.schema.item import Item

DATA = Path(os.environ.get("NEARLINE_DATA") or Path(__file__).parents[2] / ".." / "shared" / "data")
Make = Callable[[Mapping[str, str | bytes]], Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def write(files: Mapping[str, str | bytes]) -> Path:
        folder = tmp_path / "set"
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return folder

    return write


def rows(data: Dataset, *columns: str) -> list[tuple[object, ...]]:
    """Return columns of the events as tuples, after checking what holds for every dataset."""
    assert data.events.schema == EVENTS
    times = data.events["timestamp"].to_numpy()
    assert (times[1:] >= times[:-1]).all()
    ids = [item.item_id for item in data.items]
    assert len(set(ids)) == len(ids)
    assert set(data.events["item_id"].to_pylist()) <= set(ids)
    report = data.report
    assert report.kept == data.events.num_rows
    assert report.rows == report.kept + sum(report.dropped.values())
    return list(zip(*(data.events[name].to_pylist() for name in columns), strict=True))


def test_movielens_100k(make: Make) -> None:
    flags = "|".join("1" if place in (3, 5) else "0" for place in range(19))
    folder = make(
        {
            "u.data": "2 10 3 20\n1 10 5 10\n1 11 4 20\nx 11 bad 30\n 11 4 30\n1 9\n3 99 1 5\n".replace(" ", "\t"),
            "u.item": f"10|Été (1994)|01-Jan-1995||url|{flags}\n11|unknown||||{flags}\n".encode("latin-1"),
        }
    )
    data = load_dataset(folder)
    assert rows(data, "user_id", "item_id", "timestamp", "rating", "category") == [
        ("3", "99", 5000, 1.0, ""),
        ("1", "10", 10_000, 5.0, "Animation|Comedy"),
        ("2", "10", 20_000, 3.0, "Animation|Comedy"),  # the same time: the order of the file
        ("1", "11", 20_000, 4.0, "Animation|Comedy"),
    ]
    assert data.report.dropped == {"wrong number of columns": 1, "no user_id": 1, "bad rating": 1}
    first, unknown, bare = data.items
    assert (first.title, first.tags, first.created_at) == (
        "Été (1994)",
        ("Animation", "Comedy"),
        788_918_400_000,
    )
    assert (unknown.created_at, bare) == (0, Item("99"))
    assert (data.name, data.order_only, data.positive) == ("set", False, "rate")


def test_movielens_1m_with_times_goes_before_order_only(make: Make) -> None:
    movies = "1::One (1995)::War\n2::L'été (1970)::Comedy\n".encode("latin-1")
    folder = make(
        {
            "ratings.dat": "1::1::5::978000760\n2::2::3::978000000\n",
            "movies.dat": movies,
            "ratings_ordered.csv": "user_id,movie_id,rating,position,sas_user,sas_item\n1,1,5,0,1,1\n",
        }
    )
    data = load_dataset(folder)
    assert not data.order_only
    assert rows(data, "user_id", "item_id", "timestamp") == [
        ("2", "2", 978_000_000_000),
        ("1", "1", 978_000_760_000),
    ]
    assert data.items[1].title == "L'été (1970)"
    assert data.items[1].created_at == 1  # 0 would mean unknown


def test_movielens_1m_order_only_ends_all_users_together(make: Make) -> None:
    lines = "user_id,movie_id,rating,position,sas_user,sas_item\n10,1,5,2,9,1\n10,2,4,0,9,2\n10,3,3,1,9,3\n"
    lines += "9,1,2,1,8,1\n9,2,1,0,8,2\n9,4,3,,,\n"
    folder = make({"ratings_ordered.csv": lines, "movies.dat": "1::A (1990)::Drama\n4::B (1991)::War\n2::C::\n"})
    data = load_dataset(folder)
    assert data.order_only
    assert rows(data, "user_id", "item_id", "timestamp") == [
        ("10", "2", END - 2000),
        ("9", "2", END - 1000),
        ("10", "3", END - 1000),
        ("9", "1", END),
        ("10", "1", END),
    ]
    assert [item.item_id for item in data.items] == ["1", "2", "3"]  # 4 is outside the subset
    assert data.report.dropped == {"not in the sas subset": 1}


def test_movietweetings_keeps_leading_zeros(make: Make) -> None:
    folder = make(
        {
            "ratings.dat": "5::0000200::8::1364000142\n5::0000100::0::1364000000\n",
            "movies.dat": "0000100::L'été: one (1913)::Crime|Drama\n0000200::Two (1992)::\n",
        }
    )
    data = load_dataset(folder)
    assert rows(data, "item_id", "rating", "category") == [
        ("0000100", 0.0, "Crime|Drama"),
        ("0000200", 8.0, ""),
    ]
    assert data.items[0].title == "L'été: one (1913)"
    assert data.items[0].created_at < 0  # before 1970


@pytest.mark.parametrize("header", ["", "user_id,item_id,category_id,behavior,ts\n"])
def test_taobao_maps_behaviours(make: Make, header: str) -> None:
    body = "1,7,50,pv,100\n1,7,51,cart,300\n2,7,50,fav,200\n2,8,60,buy,400\n2,8,60,steal,500\n2,8,60,pv,soon\n"
    data = load_dataset(make({"UserBehavior.csv": header + body}))
    assert rows(data, "event_type", "timestamp", "category") == [
        ("view", 100_000, "50"),
        ("like", 200_000, "50"),
        ("add_to_cart", 300_000, "51"),  # the category of that time
        ("purchase", 400_000, "60"),
    ]
    assert {item.item_id: item.category for item in data.items} == {"7": "51", "8": "60"}
    assert data.report.dropped == {"unknown behavior": 1, "bad timestamp": 1}


def test_table_csv_with_dirty_rows_and_a_table_of_items(make: Make) -> None:
    events = (
        "\ufeffUserId;product_id;time;rating;price;title;event_id\n"
        'u1;a;2024-01-02T00:00:00Z;;9.5;"Red; ""best"" shoe";e1\n'
        "u1;b;2024-01-01T01:00:00+01:00;4;;;e2\n"
        "u2; a ;1704240000;;8.5;Shoe;e3\n"
        "u2;c;1704240000001;;;;e4\n"
        ";a;never;;;;e5\n"
        "u3;;1704240000;;;;e6\n"
        "u3;a;2024-13-45;;;;e7\n"
        "u3;a;1704240000;good;;;e8\n"
        "u3;a;1704240000;;1,50;;e9\n"
        "u3;a\n"
    )
    items = "item_id,category,tags,created_at,title,price\nb,Hats,warm|wool,2020-01-01,Hat,\nz,Gloves,,,,5\n"
    folder = make({"shop.csv": events, "items.csv": items, "notes.txt": "nothing here"})
    data = load_dataset(folder)
    day = 1_704_067_200_000
    assert rows(data, "user_id", "item_id", "event_type", "timestamp", "rating", "price", "event_id") == [
        ("u1", "b", "rate", day, 4.0, None, "e2"),
        ("u1", "a", "view", day + 86_400_000, None, 9.5, "e1"),
        ("u2", "a", "view", day + 2 * 86_400_000, None, 8.5, "e3"),
        ("u2", "c", "view", day + 2 * 86_400_000 + 1, None, None, "e4"),
    ]
    assert data.report.dropped == {
        "wrong number of columns": 1,
        "no user_id": 1,  # a bad timestamp too: counted once
        "no item_id": 1,
        "bad timestamp": 1,
        "bad rating": 1,
        "bad price": 1,
    }
    assert data.report.rows == 10
    catalogue = {item.item_id: item for item in data.items}
    assert catalogue["a"] == Item("a", title="Shoe", price=8.5)  # what was said last
    assert catalogue["b"] == Item("b", title="Hat", category="Hats", tags=("warm", "wool"), created_at=1_577_836_800_000)
    assert catalogue["z"] == Item("z", category="Gloves", price=5.0)  # never seen, still in the catalogue
    assert data.events["category"].to_pylist() == ["Hats", "", "", ""]
    assert load_dataset(folder / "shop.csv").events.equals(data.events)


def test_table_parquet_with_typed_columns(tmp_path: Path) -> None:
    moment = pa.array([1_704_067_200_000_000, None, 1_704_067_100_000_000], pa.timestamp("us", "Europe/Paris"))
    table = pa.table(
        {
            "visitor": pa.array([1.0, 2.0, None]),  # ids that a null made floats
            "movie_id": pa.array([5, 5, 6], pa.int32()),
            "ts": moment,
            "behavior": pa.array(["buy", "look", "look"]).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "log.parquet")
    data = load_dataset(tmp_path / "log.parquet")
    assert rows(data, "user_id", "item_id", "event_type", "timestamp") == [("1", "5", "buy", 1_704_067_200_000)]
    assert data.report.dropped == {"no user_id": 1, "bad timestamp": 1}
    assert data.name == "log"


def test_what_does_not_fit_is_said(make: Make, tmp_path: Path) -> None:
    with pytest.raises(NearlineError, match="exists"):
        load_dataset(tmp_path / "nowhere")
    folder = make({"a.csv": "user,item\n1,2\n"})
    with pytest.raises(NearlineError) as caught:
        load_dataset(folder)
    assert all(form.name in caught.value.remedy for form in FORMATS)
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text("user,item,time\n,2,3\n")
    with pytest.raises(NearlineError, match="one file") as caught:
        load_dataset(folder)
    assert caught.value.value == ["a.csv", "b.csv"]
    (folder / "b.csv").unlink()
    with pytest.raises(NearlineError, match="no usable row") as caught:
        load_dataset(folder)
    assert caught.value.value == {"no user_id": 1}
    (folder / "a.csv").write_bytes(b"user,item,time\n\xff,2,3\n")
    with pytest.raises(NearlineError, match="UTF-8"):
        load_dataset(folder)


def test_columns_of_values() -> None:
    said = pa.array(["1", " 2.5 ", "", None, "x", "inf", "1e2", "-3"])
    values, bad = numbers(said)
    assert values.to_pylist() == [1.0, 2.5, None, None, None, None, 100.0, -3.0]
    assert bad.tolist() == [False, False, False, False, True, True, False, False]
    times = pa.array(["12", "1.5", "1700000000", "1700000000123", "-1", "1e20", "2024-01-01", "2024-01-01 00:00:01.25"])
    day = 1_704_067_200_000
    assert milliseconds(times).to_pylist() == [
        *(12_000, 1500, 1_700_000_000_000, 1_700_000_000_123),
        *(None, None, day, day + 1250),
    ]
    assert milliseconds(pa.array([5, None, 1_700_000_000_123])).to_pylist() == [5000, None, 1_700_000_000_123]
    assert text(pa.array([1.0, None, float("nan")])).to_pylist() == ["1", None, None]
    assert text(pa.array([1.5, 2.0])).to_pylist() == ["1.5", "2"]


def test_stamp_keeps_what_the_event_says() -> None:
    table = pa.table({"item_id": ["a", "b", "a", "c"], "price": pa.array([None, 2.0, 7.0, None], pa.float64())})
    stamped = stamp(table, [Item("b", category="B", price=1.0), Item("a", brand="A", price=5.0)])
    assert stamped["price"].to_pylist() == [5.0, 2.0, 7.0, None]
    assert stamped["category"].to_pylist() == ["", "B", "", ""]
    assert stamped["brand"].to_pylist() == ["A", "", "A", ""]


def test_equal_times_keep_the_order_of_the_rows(make: Make) -> None:
    places = np.random.default_rng(1).integers(0, 5, 2000)
    lines = "".join(f"u,{row},{time}\n" for row, time in enumerate(places))
    data = load_dataset(make({"log.csv": "user,item,ts\n" + lines}))
    expected = sorted(enumerate(places), key=lambda pair: int(pair[1]))
    assert data.events["item_id"].to_pylist() == [str(row) for row, _ in expected]


@pytest.mark.parametrize(
    ("name", "events", "users", "seen", "items"),
    [
        ("ml-100k", 100_000, 943, 1_682, 1_682),
        ("ml-1m", 999_611, 6_040, 3_416, 3_416),
        ("movietweetings-100k", 100_000, 16_554, 10_506, 10_506),
        ("taobao-100k", 84_475, 815, 55_368, 55_368),
    ],
)
def test_real_sets_have_the_rows_that_are_documented(name: str, events: int, users: int, seen: int, items: int) -> None:
    if not (DATA / name).is_dir():
        pytest.skip(f"{DATA / name} is absent; set NEARLINE_DATA to the folder of the real sets")
    data = load_dataset(DATA / name)
    assert data.events.num_rows == events
    assert len(data.events["user_id"].unique()) == users
    assert len(data.events["item_id"].unique()) == seen
    assert len(data.items) == items
    assert data.order_only == (name == "ml-1m")
    times = data.events["timestamp"].to_numpy()
    assert (np.diff(times) >= 0).all()
    if data.order_only:
        assert data.report.dropped == {"not in the sas subset": 598}
        assert int((times == END).sum()) == users
    by_id = {item.item_id: item.category for item in data.items}
    sample = data.events.slice(0, 1000)
    assert sample["category"].to_pylist() == [by_id[i] for i in sample["item_id"].to_pylist()]
    assert len(set(by_id.values())) > 10
