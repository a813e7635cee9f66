"""MovieLens 100K (`u.data`), 1M (`ratings.dat`), and 1M with order only (`ratings_ordered.csv`)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nearline.batch.dataset import Dataset, assemble
from nearline.batch.dropped import Dropped
from nearline.batch.importers.columns import first_line, missing, numbers
from nearline.batch.importers.movies import movie, read_movies
from nearline.batch.importers.reading import Raw, Sieve, read_text
from nearline.schema.item import Item

END = 978_307_200_000
"""2001-01-01T00:00:00Z in ms: when every user's last event is, in data that has no times."""

GENRES = (
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
"""In the order of the flags of `u.item`, after the flag "unknown"."""

ORDERED = ("user_id", "movie_id", "rating", "position", "sas_user", "sas_item")


def detect(folder: Path) -> bool:
    """Return whether the folder holds one of the three forms."""
    ordered = first_line(folder / "ratings_ordered.csv").split(",")[: len(ORDERED)] == list(ORDERED)
    return (folder / "u.data").is_file() or _timed(folder) or ordered


def load(folder: Path) -> Dataset:
    """Load a folder of MovieLens; ratings become `rate` events. Real times go before order only.

    Raises:
        NearlineError: a file can't be read.
    """
    if (folder / "u.data").is_file():
        return _rated(folder, "u.data", "\t", _films(folder / "u.item"))
    if _timed(folder):
        return _rated(folder, "ratings.dat", "::", _movies(folder))
    return _ordered(folder)


def _timed(folder: Path) -> bool:
    """Return whether `ratings.dat` is MovieLens': its films have short numbers, not IMDb's."""
    if not (folder / "ratings.dat").is_file():
        return False
    film = first_line(folder / "movies.dat") or "::".join(first_line(folder / "ratings.dat").split("::")[1:])
    return re.match(r"\d{1,6}::", film) is not None


def _rated(folder: Path, file: str, delimiter: str, items: list[Item]) -> Dataset:
    return rated(folder.name, read_text(folder / file, ("user_id", "item_id", "rating", "timestamp"), delimiter), items)


def rated(name: str, raw: Raw, items: list[Item]) -> Dataset:
    """Return ratings with times as a dataset.

    Args:
        name: of the dataset.
        raw: user_id, item_id, rating and timestamp as text.
        items: the films.
    """
    dropped = Dropped()
    return assemble(name, ratings(raw, dropped), items, dropped)


def ratings(raw: Raw, dropped: Dropped) -> pa.Table:
    """Return the good rows of user_id, item_id, rating and timestamp as `rate` events."""
    sieve = Sieve(raw, dropped)
    columns = {"user_id": sieve.text("user_id"), "item_id": sieve.text("item_id")}
    columns["event_type"] = pa.repeat("rate", raw.table.num_rows)
    rating, times = sieve.number("rating", required=True), sieve.time()
    return sieve.table({**columns, "timestamp": times, "rating": rating})


def _ordered(folder: Path) -> Dataset:
    """Load the order-only form: the `sas_*` subset, times made backwards from each user's last event."""
    raw = read_text(folder / "ratings_ordered.csv", ORDERED, ",", header=True)
    dropped = Dropped()
    sieve = Sieve(raw, dropped)
    users, films = sieve.text("user_id"), sieve.text("movie_id")
    positions, _ = numbers(raw.table["position"])
    sieve.drop("not in the sas subset", "position", missing(positions))
    table = sieve.table(
        {
            "user_id": users,
            "item_id": films,
            "event_type": pa.repeat("rate", raw.table.num_rows),
            "rating": sieve.number("rating", required=True),
            "position": positions,
        }
    )
    coded = table["user_id"].combine_chunks().dictionary_encode()
    user, position = coded.indices.to_numpy(), table["position"].to_numpy().astype(np.int64)
    last = np.zeros(len(coded.dictionary), np.int64)
    np.maximum.at(last, user, position)
    times = END + (position - last[user]) * 1000
    names = np.array(coded.dictionary.to_pylist(), dtype=str)
    by_name = np.lexsort((names, np.char.str_len(names)))  # by length first: numbers as text in numeric order
    place = np.empty(len(names), np.int64)
    place[by_name] = np.arange(len(names))
    order = pa.array(np.lexsort((place[user], times)))
    table = table.drop_columns(["position"]).append_column("timestamp", pa.array(times)).take(order)
    seen = set(pc.unique(table["item_id"]).to_pylist())
    items = [item for item in _movies(folder) if item.item_id in seen]
    return assemble(folder.name, table, items, dropped, order_only=True)


def _movies(folder: Path) -> list[Item]:
    return read_movies(folder / "movies.dat", "latin-1") if (folder / "movies.dat").is_file() else []


def _films(path: Path) -> list[Item]:
    """Read `u.item`: id | title | release | video release | URL | 19 flags."""
    lines = path.read_text(encoding="latin-1").splitlines() if path.is_file() else []
    rows = [line.split("|") for line in lines]
    return [
        movie(r[0], r[1].strip(), [g for g, flag in zip(GENRES, r[6:], strict=True) if flag == "1"], r[2])
        for r in rows
        if len(r) == 6 + len(GENRES)
    ]
