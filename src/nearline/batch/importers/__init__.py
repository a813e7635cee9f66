"""Importers: one file per format, each with `detect(folder)` and `load(folder)`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nearline.batch.dataset import Dataset
from nearline.batch.importers import (
    diginetica,
    gorse,
    movielens,
    movielens_latest,
    movietweetings,
    recbole,
    table,
    taobao,
    trivago,
    yoochoose,
)
from nearline.batch.importers.column_map import ColumnMap
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
        "movielens-latest",
        "ratings.csv (userId,movieId,rating,timestamp) with movies.csv",
        movielens_latest.detect,
        movielens_latest.load,
    ),
    Format(
        "movietweetings",
        "ratings.dat with movies.dat, IMDb numbers",
        movietweetings.detect,
        movietweetings.load,
    ),
    Format("taobao", "UserBehavior.csv", taobao.detect, taobao.load),
    Format("yoochoose", "yoochoose-clicks.dat, or yoochoose-clicks*.txt", yoochoose.detect, yoochoose.load),
    Format("diginetica", "train-item-views.csv", diginetica.detect, diginetica.load),
    Format("trivago", "a CSV or Parquet file with action_type, reference and impressions", trivago.detect, trivago.load),
    Format("recbole", "a file .inter with a header such as user_id:token", recbole.detect, recbole.load),
    Format("gorse", "feedback.jsonl with FeedbackType, UserId, ItemId and Timestamp", gorse.detect, gorse.load),
    Format("table", "a CSV or Parquet file with columns user_id, item_id and timestamp", table.detect, table.load),
)
"""Tried in this order; the most particular first."""


def load_dataset(folder: Path | str, mapping: ColumnMap | None = None) -> Dataset:
    """Load a folder, or one file of events, in whichever format it is.

    Args:
        folder: or file.
        mapping: columns of a CSV or Parquet; no other format is then looked for.

    Raises:
        NearlineError: it does not exist, or is in no known format; the message lists those.
    """
    path = Path(folder).resolve()
    if not path.exists():
        raise NearlineError("folder", str(folder), "give a folder or file that exists")
    if mapping is not None:
        return table.load(path, mapping)
    for form in FORMATS:
        if form.detect(path):
            return form.load(path)
    there = sorted(file.name for file in path.iterdir()) if path.is_dir() else [path.name]
    found = ", ".join(there[:8]) + (", ..." if len(there) > 8 else "") if there else "nothing"
    known = "; ".join(f"{form.name}: {form.files}" for form in FORMATS)
    remedy = (
        f"it holds {found}; looked for {known}. Another CSV or Parquet file needs --map user_id=...,item_id=...,timestamp=..."
    )
    raise NearlineError("folder", str(folder), remedy)
