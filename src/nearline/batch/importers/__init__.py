"""Importers: one file per format, each with `detect(folder)` and `load(folder)`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nearline.batch.dataset import Dataset
from nearline.batch.importers import movielens, movietweetings, table, taobao
from nearline.schema.errors import NearlineError


@dataclass(frozen=True, slots=True)
class Format:
    """A format that can be imported.

    Attributes:
        name: short.
        files: what the folder holds, for messages.
        detect: whether a folder (or file) is in this format.
        load: reads it.
    """

    name: str
    files: str
    detect: Callable[[Path], bool]
    load: Callable[[Path], Dataset]


FORMATS: tuple[Format, ...] = (
    Format(
        "movielens",
        "u.data, or ratings.dat with movies.dat, or ratings_ordered.csv",
        movielens.detect,
        movielens.load,
    ),
    Format(
        "movietweetings",
        "ratings.dat with movies.dat, IMDb numbers",
        movietweetings.detect,
        movietweetings.load,
    ),
    Format("taobao", "UserBehavior.csv", taobao.detect, taobao.load),
    Format("table", "a CSV or Parquet file with columns user_id, item_id and timestamp", table.detect, table.load),
)
"""Tried in this order; the most particular first."""


def load_dataset(folder: Path | str) -> Dataset:
    """Load a folder, or one file of events, in whichever format it is.

    Raises:
        NearlineError: it does not exist, or is in no known format; the message lists those.
    """
    path = Path(folder).resolve()
    if not path.exists():
        raise NearlineError("folder", str(folder), "give a folder or file that exists")
    for form in FORMATS:
        if form.detect(path):
            return form.load(path)
    known = "; ".join(f"{form.name} ({form.files})" for form in FORMATS)
    raise NearlineError("folder", str(folder), f"give data in one of the known formats: {known}")
