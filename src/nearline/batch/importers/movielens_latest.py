"""MovieLens latest, small, 20M, 25M and 32M: `ratings.csv`, with `movies.csv`, `tags.csv` and `links.csv` beside it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from nearline.batch.dataset import Dataset, assemble
from nearline.batch.dropped import Dropped
from nearline.batch.importers.columns import first_line, text
from nearline.batch.importers.movielens import ratings
from nearline.batch.importers.movies import movie
from nearline.batch.importers.reading import Raw, read_chunks, read_text
from nearline.schema.item import Item

RATINGS = ("userId", "movieId", "rating", "timestamp")
TAGS = 5
"""Tags of a film that are kept beside its genres: those that most people gave."""
_NO_GENRES = "(no genres listed)"


def detect(folder: Path) -> bool:
    """Return whether `ratings.csv` is there with its four columns, and `movies.csv`."""
    return tuple(first_line(folder / "ratings.csv").split(",")) == RATINGS and (folder / "movies.csv").is_file()


def load(folder: Path) -> Dataset:
    """Load the folder, a block at a time, ids kept as dictionaries: 37 bytes a rating, some 150 while they are sorted.

    Ratings become `rate` events. A film's tags are its genres and the tags that most people gave it; the numbers at IMDb
    and TMDB become attributes.

    Raises:
        NearlineError: a file can't be read.
    """
    dropped = Dropped()
    return assemble(folder.name, _ratings(folder / "ratings.csv", dropped), _films(folder), dropped)


def _ratings(path: Path, dropped: Dropped) -> pa.Table:
    chunks = []
    for raw in read_chunks(path, ("user_id", "item_id", "rating", "timestamp"), ",", header=True):
        named = Raw(raw.file, raw.table, raw.first, raw.ragged, dict(zip(raw.table.column_names, RATINGS, strict=True)))
        table = ratings(named, dropped)
        for place, name in enumerate(table.column_names):
            if pa.types.is_string(table[name].type):
                table = table.set_column(place, name, table[name].dictionary_encode())
        chunks.append(table)
    return pa.concat_tables(chunks).unify_dictionaries().combine_chunks() if chunks else _nothing()


def _nothing() -> pa.Table:
    text_ = pa.array([], pa.string())
    return pa.table({"user_id": text_, "item_id": text_, "event_type": text_, "timestamp": pa.array([], pa.int64())})


def _films(folder: Path) -> list[Item]:
    films = read_text(folder / "movies.csv", ("item_id", "title", "genres"), ",", header=True, quotes=True).table
    tags, links = _tags(folder / "tags.csv"), _links(folder / "links.csv")
    items = []
    for item_id, title, genres in zip(*(text(films[name]).to_pylist() for name in films.column_names), strict=True):
        if item_id:
            named = [genre for genre in (genres or "").split("|") if genre and genre != _NO_GENRES]
            film = movie(item_id, title or "", named)
            more = tuple(tag for tag in tags.get(item_id, ()) if tag not in film.tags)
            items.append(
                Item(
                    item_id, film.title, film.category, tags=film.tags + more, created_at=film.created_at,
                    attributes=links.get(item_id, {}),
                )
            )  # fmt: skip
    return items


def _tags(path: Path) -> dict[str, list[str]]:
    """Return the tags that most users gave each film, in lower case; ties by the alphabet."""
    if not path.is_file():
        return {}
    table = read_text(path, ("user_id", "item_id", "tag", "timestamp"), ",", header=True, quotes=True).table
    table = pa.table({"item_id": text(table["item_id"]), "tag": pc.utf8_lower(text(table["tag"]))}).drop_null()
    counted = table.group_by(["item_id", "tag"]).aggregate([([], "count_all")])
    counted = counted.sort_by([("item_id", "ascending"), ("count_all", "descending"), ("tag", "ascending")])
    found: dict[str, list[str]] = {}
    for item_id, tag in zip(counted["item_id"].to_pylist(), counted["tag"].to_pylist(), strict=True):
        of_film = found.setdefault(item_id, [])
        if len(of_film) < TAGS:
            of_film.append(tag)
    return found


def _links(path: Path) -> dict[str, dict[str, str]]:
    """Return the numbers of each film at IMDb and TMDB."""
    if not path.is_file():
        return {}
    table = read_text(path, ("item_id", "imdb_id", "tmdb_id"), ",", header=True).table
    rows = table.to_pylist()
    return {r["item_id"]: {name: r[name] for name in ("imdb_id", "tmdb_id") if r[name]} for r in rows if r["item_id"]}
