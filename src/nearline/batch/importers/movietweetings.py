"""MovieTweetings: ratings from tweets, 0 to 10; films by IMDb number."""

from __future__ import annotations

import re
from pathlib import Path

from nearline.batch.dataset import Dataset
from nearline.batch.importers.columns import first_line
from nearline.batch.importers.movielens import rated
from nearline.batch.importers.movies import read_movies
from nearline.batch.importers.reading import read_text


def detect(folder: Path) -> bool:
    """Return whether `ratings.dat` and `movies.dat` are there, with IMDb numbers (seven digits or more)."""
    film = re.match(r"\d{7,}::", first_line(folder / "movies.dat"))
    return film is not None and (folder / "ratings.dat").is_file()


def load(folder: Path) -> Dataset:
    """Load the folder; ratings become `rate` events, in the files' scale of 0 to 10.

    Raises:
        NearlineError: a file can't be read.
    """
    raw = read_text(folder / "ratings.dat", ("user_id", "item_id", "rating", "timestamp"), "::")
    return rated(folder.name, raw, read_movies(folder / "movies.dat", "utf-8"))
