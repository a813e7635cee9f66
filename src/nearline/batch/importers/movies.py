"""Films as items: what the films' files of MovieLens and MovieTweetings share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from nearline.schema.errors import NearlineError
from nearline.schema.item import Item

_YEAR = re.compile(r"\((\d{4})[^)]*\)\s*$")


def movie(item_id: str, title: str, genres: Sequence[str], released: str = "") -> Item:
    """Return a film as an item.

    The category is all genres as one ("Comedy|Romance"), so that a cap by category bites little; the tags are
    the genres.

    Args:
        item_id: as in the ratings.
        title: may end in the year, "(1995)".
        genres: in the file's order.
        released: "01-Jan-1995", where the file has it; else the year of the title counts.
    """
    return Item(
        item_id,
        title=title,
        category="|".join(genres),
        tags=tuple(genres),
        created_at=_released(released) or _released(f"01-Jan-{_year(title)}"),
    )


def read_movies(path: Path, encoding: str) -> list[Item]:
    """Read `movies.dat`: id::title (year)::genre|genre.

    Raises:
        NearlineError: the file is in another encoding.
    """
    try:
        lines = path.read_text(encoding=encoding).splitlines()
    except UnicodeDecodeError as error:
        raise NearlineError(str(path), str(error), f"save it as {encoding}, as it was published") from error
    parts = [line.split("::") for line in lines]
    return [movie(p[0], p[1].strip(), [g for g in p[2].split("|") if g]) for p in parts if len(p) == 3]


def _year(title: str) -> str:
    found = _YEAR.search(title)
    return found[1] if found else ""


def _released(date: str) -> int:
    """Return "01-Jan-1995" as ms UTC, 0 where it is no date."""
    try:
        time = datetime.strptime(date, "%d-%b-%Y").replace(tzinfo=UTC)
    except ValueError:
        return 0
    return int(time.timestamp()) * 1000 or 1  # 0 means unknown; 1 Jan 1970 is known
