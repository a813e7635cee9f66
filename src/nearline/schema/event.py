"""Events: what clients send, what the log keeps, and the numbers that folds read."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from nearline.schema.words import WORDS

Topic = Literal["user_events", "item_events", "feedback"]
TOPICS: tuple[Topic, ...] = ("user_events", "item_events", "feedback")
ERASE = "$erase"
"""Event type of a tombstone: the user's data must leave state, lists, lake and releases."""
POISON = "$poison"
"""Event type of what stands for a message of a shared log that is none of ours; it moves nothing, its text is in `context`."""
CARRIED = "$carried:"
"""Before the type of an event that its visitor did anonymously, written once more under his name when he logged in."""


class Role(IntEnum):
    """What an event type means to counters; every application's types map to these few.

    `DECLARED` is reserved: what a visitor says of himself (`schema.profile`), which no counter takes.
    """

    NONE = 0
    EXPOSURE = 1
    VIEW = 2
    CLICK = 3
    INTENT = 4
    CONVERSION = 5
    NEGATIVE = 6
    SEARCH = 7
    DECLARED = 8


ROLES = 6
"""Number of roles that are counted (`EXPOSURE`..`NEGATIVE`); counter column = role - 1."""

DEVICES = ("", "desktop", "mobile", "tablet", "tv", "app")


class EventIn(msgspec.Struct, forbid_unknown_fields=True):
    """An event as clients send it. Seconds and milliseconds are both accepted as timestamp."""

    event_type: str
    user_id: str | int = ""
    item_id: str | int = ""
    timestamp: int | float | str | None = None
    event_id: str = ""
    session_id: str = ""
    context: dict[str, Any] = msgspec.field(default_factory=dict)
    event_value: dict[str, Any] = msgspec.field(default_factory=dict)


class Record(msgspec.Struct, array_like=True, gc=False):
    """One entry of a topic, self-contained: replay joins nothing.

    The offset is its place in the topic and is not stored twice. `timestamp` and `ingested_at` are ms UTC, `dwell_ms`
    milliseconds, `rating` in the application's scale, `price` the item's price when the event came. `context` is JSON:
    for `user_events` the rest of context and event_value, for `item_events` the attributes, for `feedback` the list.
    """

    event_id: str
    event_type: str
    user_id: str
    item_id: str
    timestamp: int
    ingested_at: int
    session_id: str = ""
    request_id: str = ""
    page: str = ""
    position: int | None = None
    rating: float | None = None
    dwell_ms: int | None = None
    value: float | None = None
    category: str = ""
    brand: str = ""
    price: float | None = None
    device: str = ""
    context: str = "{}"


EVENT: np.dtype[np.void] = np.dtype(
    [
        ("offset", "<i8"),
        ("ts", "<i8"),
        ("user", "<u8"),
        ("item", "<u8"),
        ("session", "<u8"),
        ("price", "<i8"),
        ("value", "<i8"),
        ("category", "<u4"),
        ("brand", "<u4"),
        ("weight", "<i4"),
        ("dwell", "<i4"),
        ("words", "<u4", (WORDS,)),
        ("rating", "<i2"),
        ("kind", "u1"),
        ("role", "u1"),
        ("device", "u1"),
        ("shown", "u1"),
        ("own", "u1"),
        ("surface", "u1"),
    ],
    align=True,
)
"""One event in numbers, `[n] EVENT`.

offset: place in `user_events`; ts: ms UTC; user, item, session: 64-bit keys (user = visitor key); price, value and
weight: thousandths; dwell: ms; words: keys of what was searched for (`query_words`), 0 for none; rating: hundredths, 0 =
none; kind: place of the type in the application; role: `Role`;
shown: 1 where the event answers a list (it came with a request_id), 0 where the visitor found the item by himself;
surface: of the list that the event answers (`SURFACE_CODES`), 0 where it answers none or none is known;
own: 1 where only the visitor's own rows take it, since items have counted it before (carried) or never shall (declared).
"""

Events = NDArray[np.void]


def empty_events(n: int) -> Events:
    """Return `[n] EVENT` of zeros."""
    return np.zeros(n, dtype=EVENT)


def concat(batches: Sequence[Events]) -> Events:
    """Return batches of events, `[n_i] EVENT`, as one."""
    return np.concatenate(batches) if batches else empty_events(0)


class Suppression(msgspec.Struct, frozen=True):
    """What an event takes out of the lists of its user, and for how long (days; `None`: for ever)."""

    scope: Literal["item", "category"] = "item"
    days: float | None = None


class EventType(msgspec.Struct, frozen=True):
    """A declared event type.

    Attributes:
        name: as clients send it.
        weight: how much it says; negative for dislike and the like.
        role: what it counts as: exposure, view, click, intent, conversion, negative, search or none.
        outcome: whether it is something to predict.
        suppresses: what leaves this user's lists, where anything does.
        complete_from: for watch events, the share of `watch_percent` from which it counts as an outcome.
        full_dwell: seconds of `dwell_ms` that are a whole outcome; less is predicted as a share of it. `None`: how long it took
            does not matter.
    """

    name: str
    weight: float = 1.0
    role: str = "click"
    outcome: bool = False
    suppresses: tuple[Suppression, ...] = ()
    complete_from: float | None = None
    full_dwell: float | None = None
