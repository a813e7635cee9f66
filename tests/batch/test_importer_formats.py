"""Formats of public data sets and of other systems: small made-up files in the documented form, dirty rows among them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nearline.batch.dataset import Dataset, for_asking
from nearline.batch.dropped import Dropped, Example
from nearline.batch.importers import load_dataset
from nearline.batch.importers.column_map import parse_map
from nearline.batch.importers.movielens import ratings
from nearline.batch.importers.reading import read_chunks, read_text
from nearline.batch.summary import Gap, summarise, text_of
from nearline.schema.errors import NearlineError

DATA = Path(os.environ.get("NEARLINE_DATA") or Path(__file__).parents[2] / ".." / "shared" / "data")
Make = Callable[[Mapping[str, str]], Path]
DAY = 86_400_000


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def write(files: Mapping[str, str]) -> Path:
        folder = tmp_path / "set"
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_text(content)
        return folder

    return write


def rows(data: Dataset, *columns: str) -> list[tuple[object, ...]]:
    assert data.report.rows == data.report.kept + sum(data.report.dropped.values())
    assert data.report.kept == data.rows.num_rows
    return list(zip(*(data.events[name].to_pylist() for name in columns), strict=True))


def test_movielens_latest_with_tags_and_links(make: Make) -> None:
    folder = make(
        {
            "ratings.csv": "userId,movieId,rating,timestamp\n1,2,4.5,200\n2,1,0.5,100\n2,1,bad,100\n3,1\n3,9,1.0,never\n",
            "movies.csv": 'movieId,title,genres\n1,"One, The (1995)",Drama|War\n2,Two (1996),(no genres listed)\n',
            "tags.csv": 'userId,movieId,tag,timestamp\n1,1,Slow,5\n2,1,slow,6\n2,1,"war, again",7\n2,2,odd,7\n',
            "links.csv": "movieId,imdbId,tmdbId\n1,0114709,862\n2,0113497,\n",
        }
    )
    data = load_dataset(folder)
    assert rows(data, "user_id", "item_id", "event_type", "timestamp", "rating", "category") == [
        ("2", "1", "rate", 100_000, 0.5, "Drama|War"),
        ("1", "2", "rate", 200_000, 4.5, ""),
    ]
    assert data.report.dropped == {"wrong number of columns": 1, "bad rating": 1, "bad timestamp": 1}
    one, two = data.items
    assert (one.title, one.tags) == ("One, The (1995)", ("Drama", "War", "slow", "war, again"))
    assert one.attributes == {"imdb_id": "0114709", "tmdb_id": "862"}
    assert (two.category, two.tags, two.attributes) == ("", ("odd",), {"imdb_id": "0113497"})


def test_rows_left_out_are_named_as_the_file_has_them(make: Make) -> None:
    lines = ["userId,movieId,rating,timestamp"] + [f"{n},1,{n % 5},{n}" for n in range(2, 1000)]
    for number, line in ((10, "10"), (500, "a,b,c,d,e"), (501, "501,1,x,501"), (900, ",1,2,900"), (901, "901,1,2,-")):
        lines[number - 1] = line  # the header is row 1
    path = make({"ratings.csv": "\n".join(lines)}) / "ratings.csv"
    wanted = {
        "wrong number of columns": [Example("ratings.csv", 10, "", "10"), Example("ratings.csv", 500, "", "a,b,c,d,e")],
        "bad rating": [Example("ratings.csv", 501, "rating", "x")],
        "no user_id": [Example("ratings.csv", 900, "user_id", "")],
        "bad timestamp": [Example("ratings.csv", 901, "timestamp", "-")],
    }
    names = ("user_id", "item_id", "rating", "timestamp")
    for block in (200, 1000, 1 << 20):  # in however many pieces it is read
        dropped = Dropped()
        chunks = [ratings(raw, dropped) for raw in read_chunks(path, names, ",", header=True, block=block)]
        assert (len(chunks) > 10) == (block < 1 << 20)
        assert dropped.examples == wanted
        assert sum(chunk.num_rows for chunk in chunks) == 998 - 5
    assert read_text(path, names, ",", header=True).row(996 - 2 - 2) == 996


def test_yoochoose_sessions_are_anonymous_visitors(make: Make) -> None:
    folder = make(
        {
            "yoochoose-clicks.dat": "1,2014-04-07T10:51:09.277Z,11,0\n1,2014-04-07T10:54:09.868Z,12,S\n2,soon,11,0\n"
            "2,2014-04-07T10:55:00.000Z,12,3\n",
            "yoochoose-buys.dat": "1,2014-04-07T10:56:00.000Z,12,1046,2\n2,2014-04-07T10:57:00.000Z,13,0,0\n",
        }
    )
    data = load_dataset(folder)
    found = rows(data, "user_id", "session_id", "item_id", "event_type", "price", "value", "category")
    assert found == [
        ("", "1", "11", "click", None, None, ""),
        ("", "1", "12", "click", None, None, "S"),
        ("", "2", "12", "click", None, None, "3"),
        ("", "1", "12", "purchase", 1046.0, 2092.0, "3"),
        ("", "2", "13", "purchase", None, None, ""),
    ]
    assert data.events["timestamp"][0].as_py() % 1000 == 277
    assert data.report.dropped == {"bad timestamp": 1}
    summary = summarise(data)
    assert (summary.users, summary.visitors, summary.bare) == (0, 2, 2)
    asked = for_asking(data)
    assert asked.events["user_id"].to_pylist() == data.events["session_id"].to_pylist()
    assert for_asking(asked).rows is asked.rows


def test_diginetica_joins_date_and_timeframe(make: Make) -> None:
    folder = make(
        {
            "train-item-views.csv": "sessionId;userId;itemId;timeframe;eventdate\n1;NA;81766;526309;2016-05-09\n"
            "1;7;31331;1031018;2016-05-09\n2;NA;1;5;yesterday\n",
            "train-purchases.csv": "sessionId;userId;timeframe;eventdate;ordernumber;itemId\n"
            "150;18278;17100868;2016-05-06;16421;25911\n",
            "products.csv": "itemId;pricelog2;product.name.tokens\n81766;3;4875,776\n",
            "product-categories.csv": "itemId;categoryId\n81766;1096\n",
        }
    )
    data = load_dataset(folder)
    assert rows(data, "user_id", "session_id", "item_id", "event_type", "category", "price") == [
        ("18278", "150", "25911", "purchase", "", None),
        ("", "1", "81766", "view", "1096", 8.0),
        ("7", "1", "31331", "view", "", None),
    ]
    assert data.events["timestamp"][1].as_py() == 1_462_752_000_000 + 526_309
    assert data.items[0].tags == ("word 4875", "word 776")
    assert data.report.examples["bad timestamp"] == [Example("train-item-views.csv", 4, "eventdate", "yesterday")]


@pytest.mark.parametrize("timed", [True, False])
def test_recbole_atomic_files(make: Make, timed: bool) -> None:
    inter = "user_id:token\titem_id:token\trating:float" + "\ttimestamp:float" * timed + "\n"
    inter += "\n".join(
        f"{u}\t{i}\t{r}" + f"\t{t}" * timed for u, i, r, t in ((1, 5, 3, "881250949.0"), (2, 6, "x", 9), (1, 6, 4, 881250000))
    )
    items = "item_id:token\tmovie_title:token_seq\tclass:token_seq\n5\tToy Story\tAnimation Comedy\n6\tHeat\tDrama\n"
    folder = make({"ml.inter": inter + "\n", "ml.item": items, "ml.user": "user_id:token\tage:float\n1\t24\n"})
    data = load_dataset(folder)
    assert data.order_only == (not timed)
    wanted = [("1", "6", "rate", 4.0, "Drama"), ("1", "5", "rate", 3.0, "Animation|Comedy")]
    assert rows(data, "user_id", "item_id", "event_type", "rating", "category") == (wanted if timed else wanted[::-1])
    assert data.items[0].tags == ("Animation", "Comedy")
    assert data.items[0].title == "Toy Story"
    assert data.report.examples["bad rating"] == [Example("ml.inter", 3, "rating", "x")]


def test_gorse_json_lines(make: Make) -> None:
    feedback = [
        '{"FeedbackType":"star","UserId":"u1","ItemId":"a","Timestamp":"2024-01-02T00:00:00Z","Comment":""}',
        "{not json}",
        '{"FeedbackType":"read","UserId":"u2","ItemId":"b","Timestamp":"2024-01-01T00:00:00+01:00","Value":3}',
        '{"FeedbackType":"read","UserId":"","ItemId":"b","Timestamp":"2024-01-01T00:00:00Z"}',
    ]
    items = [
        '{"ItemId":"a","IsHidden":true,"Categories":["Comedy"],"Timestamp":"2020-01-01T00:00:00Z",'
        '"Labels":{"topics":["x","y"],"vector":[0.1]},"Comment":"The A"}',
        '{"ItemId":"b","Categories":null,"Labels":["z"]}',
    ]
    folder = make({"feedback.jsonl": "\n".join(feedback), "items.jsonl": "\n".join(items), "users.jsonl": '{"UserId":"u1"}'})
    data = load_dataset(folder)
    assert rows(data, "user_id", "item_id", "event_type", "value") == [("u2", "b", "read", 3.0), ("u1", "a", "star", None)]
    a, b = data.items
    assert (a.title, a.category, a.tags, a.available) == ("The A", "Comedy", ("Comedy", "x", "y"), False)
    assert (b.tags, b.available) == (("z",), True)
    assert data.report.examples == {
        "not a JSON object of this kind": [Example("feedback.jsonl", 2, "", "{not json}")],
        "no user_id": [Example("feedback.jsonl", 4, "UserId", "")],
    }


def test_trivago_click_outs_say_what_was_shown(make: Make) -> None:
    head = "user_id,session_id,timestamp,step,action_type,reference,platform,city,device,current_filters,impressions,prices\n"
    folder = make(
        {
            "train.csv": head + "u,s,100,1,search for destination,Rome,IT,Rome,mobile,,,\n"
            "u,s,110,2,interaction item image,8,IT,Rome,mobile,,,\n"
            "u,s,120,3,clickout item,9,IT,Rome,mobile,,8|9|7,50|60|70\n"
            "v,t,115,1,interaction item deals,unknown,IT,Rome,desktop,,,\n"
            "v,t,130,2,clickout item,7,IT,Rome,desktop,,7|9,71|61\n",
            "item_metadata.csv": "item_id,properties\n7,WiFi|Pool\n99,Spa\n",
        }
    )
    data = load_dataset(folder)
    assert rows(data, "user_id", "item_id", "event_type", "price", "request_id", "device") == [
        ("u", "8", "interaction", 50.0, "", "mobile"),
        ("u", "9", "clickout", 60.0, "s-3-search", "mobile"),
        ("v", "7", "clickout", 71.0, "t-2-search", "desktop"),
    ]
    assert data.report.dropped == {"about no item": 2}
    assert data.lists is not None
    assert [(r["request_id"], r["items"], r["offset"], r["timestamp"]) for r in data.lists.to_pylist()] == [
        ("s-3-search", ["8", "9", "7"], 1, 120_000),
        ("t-2-search", ["7", "9"], 2, 130_000),
    ]
    items = {item.item_id: item for item in data.items}
    assert (items["7"].price, items["7"].tags, items["99"].price) == (71.0, ("WiFi", "Pool"), None)


ORDERS = "customer;sku;bought at;qty;kind\nc1;s1;2024-01-01;1;PAY\nc2;s2;2024-01-02;two;LOOK\nc2;s9;2024-01-03;1;LOOK\n"
PRODUCTS = "sku,name,shop part\ns1,Lamp,Home\ns2,Rug,Home\n"


def test_columns_by_map_on_the_command_line_or_in_a_file(make: Make, tmp_path: Path) -> None:
    folder = make({"orders.csv": ORDERS, "products.csv": PRODUCTS, "empty.csv": ""})
    said = "user_id=customer, item_id=sku, timestamp=bought at, value=qty, title=name, category=shop part, event_type==purchase"
    data = load_dataset(folder, parse_map(said))
    assert rows(data, "user_id", "item_id", "event_type", "value", "category") == [
        ("c1", "s1", "purchase", 1.0, "Home"),
        ("c2", "s9", "purchase", 1.0, ""),
    ]
    assert data.report.examples["bad value"] == [Example("orders.csv", 3, "qty", "two")]
    assert [item.title for item in data.items] == ["Lamp", "Rug", ""]
    toml = tmp_path / "map.toml"
    toml.write_text(
        '[events]\nfile = "orders.csv"\nuser_id = "customer"\nitem_id = "sku"\ntimestamp = "bought at"\nevent_type = "kind"\n'
        '[items]\nfile = "products.csv"\nitem_id = "sku"\ntitle = "name"\n[event_types]\nPAY = "purchase"\n'
    )
    data = load_dataset(folder, parse_map(str(toml)))
    assert rows(data, "item_id", "event_type") == [("s1", "purchase"), ("s2", "LOOK"), ("s9", "LOOK")]
    assert [item.title for item in data.items] == ["Lamp", "Rug", ""]


@pytest.mark.parametrize(
    ("said", "part"),
    [
        ("user=customer", "user_id"),
        ("user_id", "ours=theirs"),
        ("user_id=customer,item_id=article", "sku"),
        ("user_id=customer,item_id=sku,timestamp=bought at,brand=maker", "qty, kind"),
        ("missing.toml", "readable TOML"),
    ],
)
def test_a_map_that_does_not_fit_is_told_with_what_there_is(make: Make, said: str, part: str) -> None:
    folder = make({"orders.csv": ORDERS, "products.csv": PRODUCTS})
    with pytest.raises(NearlineError, match=part):
        load_dataset(folder, parse_map(said))


def test_what_was_looked_for_is_named_beside_what_is_there(make: Make) -> None:
    with pytest.raises(NearlineError) as caught:
        load_dataset(make({"log.txt": "nothing", "b.json": "{}"}))
    for part in ("b.json, log.txt", "yoochoose-clicks.dat", "feedback.jsonl", ".inter", "--map"):
        assert part in caught.value.remedy


def test_the_summary_shows_what_a_person_would_check(make: Make) -> None:
    times = [*range(20), 20 + 4 * 86_400, 20 + 4 * 86_400]
    lines = "".join(f"u{n % 3},i{n % 4},{1_700_000_000 + t},{'buy' if n == 20 else 'view'}\n" for n, t in enumerate(times))
    lines += "u0,i0,1700000000,view\n,i1,1700000000,view\n"
    data = load_dataset(make({"log.csv": "user,item,time,event\n" + lines, "items.csv": "item_id,title\ni0,Zero\nz,Never\n"}))
    summary = summarise(data)
    assert summary.types == {"view": 22, "buy": 1}
    assert (summary.users, summary.items, summary.seen, summary.bare, summary.duplicates) == (3, 5, 4, 3, 1)
    assert summary.gaps == (Gap((1_700_000_000 + 19) * 1000, (1_700_000_000 + 20 + 4 * 86_400) * 1000),)
    assert [count for _, count in summary.days] == [21, 0, 0, 0, 2]
    assert summary.span == 1
    text = text_of(summary)
    for part in ("no user_id: 1", "log.csv row 25: user = ''", "view 22, buy 1", "3 unknown", "4.0 days", "2023-11-14"):
        assert part in text


@pytest.mark.parametrize(
    ("name", "events", "users", "lists"), [("yoochoose-100k", 83_846, 0, 0), ("trivago-100k", 87_608, 6_593, 13_597)]
)
def test_real_samples(name: str, events: int, users: int, lists: int) -> None:
    if not (DATA / name).is_dir():
        pytest.skip(f"{DATA / name} is absent; set NEARLINE_DATA to the folder of the real sets")
    data = load_dataset(DATA / name)
    summary = summarise(data)
    assert (data.rows.num_rows, summary.users, summary.lists) == (events, users, lists)
    assert (np.diff(data.rows["timestamp"].to_numpy()) >= 0).all()
    if data.lists is not None:
        at = data.events.take(data.lists["offset"])
        for column in ("user_id", "session_id", "request_id", "timestamp"):
            assert at[column].equals(data.lists[column])
        clicked = zip(at["item_id"].to_pylist(), data.lists["items"].to_pylist(), strict=True)
        assert sum(item in shown for item, shown in clicked) == summary.lists - 1  # the data has one from elsewhere


def test_parquet_written_elsewhere_keeps_its_rows(tmp_path: Path) -> None:
    """A table of another tool, by map, with large strings and dictionaries."""
    table = pa.table(
        {
            "who": pa.array(["a", "b", None], pa.large_string()),
            "what": pa.array(["x", "y", "x"]).dictionary_encode(),
            "when": pa.array([1_700_000_000, 1_600_000_000, 1], pa.int64()),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    data = load_dataset(tmp_path / "t.parquet", parse_map("user_id=who,item_id=what,timestamp=when"))
    assert rows(data, "user_id", "item_id") == [("b", "y"), ("a", "x")]
    assert data.report.examples["no user_id"] == [Example("t.parquet", 3, "who", "")]
    assert msgspec.json.encode(data.report.examples)


def test_whoever_measures_lists_gets_the_catalogue_in_no_order(make: Make) -> None:
    """Equal scores keep the catalogue's order: as the items were touched, it would say which of them is next."""
    touched = "".join(f"1,{item},9,pv,{1_511_544_070 + item}\n" for item in range(1, 201))
    data = load_dataset(make({"UserBehavior.csv": touched}))
    assert [item.item_id for item in data.items] == [str(item) for item in range(1, 201)]
    asked = for_asking(data)
    assert sorted(asked.items, key=lambda item: int(item.item_id)) == list(data.items)
    places = [int(item.item_id) for item in asked.items]
    assert abs(np.corrcoef(places, range(200))[0, 1]) < 0.3
    assert for_asking(data).items == asked.items
    assert asked.rows is data.rows
