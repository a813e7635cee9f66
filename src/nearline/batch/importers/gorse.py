"""Gorse's export: `items.jsonl` and `feedback.jsonl` (`users.jsonl` holds labels, which are not used), a JSON object a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from nearline.batch.dataset import Dataset, assemble
from nearline.batch.dropped import Dropped, Example, shortened
from nearline.batch.importers.columns import first_line, milliseconds
from nearline.batch.importers.reading import Raw, Sieve
from nearline.schema.errors import NearlineError
from nearline.schema.item import Item

FEEDBACK, ITEMS = "feedback.jsonl", "items.jsonl"
NOT_JSON = "not a JSON object of this kind"


class GorseFeedback(msgspec.Struct, rename="pascal"):
    """A line of `feedback.jsonl`; `value`, where it is not 0, becomes the event's value."""

    feedback_type: str
    user_id: str
    item_id: str
    timestamp: str = ""
    value: float = 0.0


class GorseItem(msgspec.Struct, rename="pascal"):
    """A line of `items.jsonl`; labels are a list, or an object with lists in it."""

    item_id: str
    is_hidden: bool = False
    categories: list[str] | None = None
    timestamp: str = ""
    labels: Any = None
    comment: str = ""


def detect(folder: Path) -> bool:
    """Return whether `feedback.jsonl` is there with Gorse's names."""
    return '"FeedbackType"' in first_line(folder / FEEDBACK)


def load(folder: Path) -> Dataset:
    """Load feedback, whose types become the event types, and items; a hidden item is not available.

    Raises:
        NearlineError: a file can't be read.
    """
    dropped = Dropped()
    lines, numbers = _lines(folder / FEEDBACK, GorseFeedback, dropped)
    table = pa.table(
        {
            "user_id": pa.array([line.user_id for line in lines], pa.string()),
            "item_id": pa.array([line.item_id for line in lines], pa.string()),
            "event_type": pa.array([line.feedback_type for line in lines], pa.string()),
            "timestamp": pa.array([line.timestamp for line in lines], pa.string()),
            "value": pa.array([line.value or None for line in lines], pa.float64()),
        }
    )
    called = {"user_id": "UserId", "item_id": "ItemId", "event_type": "FeedbackType", "timestamp": "Timestamp"}
    # A line that is no JSON stands where a ragged row would.
    sieve = Sieve(Raw(FEEDBACK, table, 1, [(number, "") for number in numbers], called), dropped, tell_ragged=False)
    columns = {name: sieve.text(name) for name in ("user_id", "item_id", "event_type")}
    events = sieve.table({**columns, "timestamp": sieve.time(), "value": table["value"]})
    return assemble(folder.name, events, _items(folder / ITEMS), dropped)


def _lines(path: Path, kind: Any, dropped: Dropped) -> tuple[list[Any], list[int]]:
    """Return the good lines of a file, and the numbers of the bad ones, which are counted."""
    decode = msgspec.json.Decoder(kind).decode
    good: list[Any] = []
    bad: list[int] = []
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    good.append(decode(line))
                except msgspec.DecodeError:
                    bad.append(number)
                    dropped.add(
                        NOT_JSON, 1, [Example(path.name, number, "", shortened(line.decode("utf-8", "replace").strip()))]
                    )
    except OSError as error:
        raise NearlineError(str(path), str(error), "give a readable file") from error
    return good, bad


def _items(path: Path) -> list[Item]:
    if not path.is_file():
        return []
    lines, _ = _lines(path, GorseItem, Dropped())
    times = milliseconds(pa.array([line.timestamp for line in lines], pa.string())).to_pylist()
    return [
        Item(
            line.item_id,
            title=line.comment,
            category=" > ".join((line.categories or [])[:1]),
            tags=tuple(dict.fromkeys([*(line.categories or []), *_labels(line.labels)])),
            created_at=time or 0,
            available=not line.is_hidden,
        )
        for line, time in zip(lines, times, strict=True)
        if line.item_id
    ]


def _labels(labels: Any) -> list[str]:
    """Return labels as texts: those of a list, or those in the lists of an object; numbers are embeddings, and left out."""
    if isinstance(labels, str):
        return [labels]
    parts = labels.values() if isinstance(labels, dict) else labels if isinstance(labels, list) else ()
    return [text for part in parts for text in _labels(part)]
