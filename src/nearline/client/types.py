"""The answers of the API. Fields that a newer server adds are ignored."""

from __future__ import annotations

from typing import Any

import msgspec


class Explanation(msgspec.Struct, frozen=True):
    """Why an item is in the list; `source_item_id` is the item that led to it."""

    type: str = ""
    reason: str = ""
    source_item_id: str = ""


class Recommendation(msgspec.Struct, frozen=True):
    """One place of a list; `rank` counts from 1, `label`, where there is one, must be shown."""

    item_id: str
    rank: int
    score: float
    explanation: Explanation = Explanation()
    metadata: dict[str, Any] = {}
    rec_source: str = ""
    label: str = ""


class Recommendations(msgspec.Struct, frozen=True):
    """A list. Send `request_id` with the events that answer it: they teach the ranker.

    Attributes:
        served_from: how much of the way from the ranker to the last resort it came.
        offset: events up to there were known when it was made.
        missing: components that failed or were late.
    """

    request_id: str
    items: list[Recommendation]
    model_version: str = ""
    served_from: str = ""
    offset: int = 0
    missing: tuple[str, ...] = ()
    trace: dict[str, Any] | None = None


class SimilarItem(msgspec.Struct, frozen=True):
    """An item like another: how alike, from 0 to 1, and in what."""

    item_id: str
    similarity_score: float = 0.0
    similarity_type: str = ""
    shared_attributes: list[str] = []


class SimilarItems(msgspec.Struct, frozen=True):
    """Items like `source_item`, best first."""

    source_item: str
    items: list[SimilarItem]


class Trending(msgspec.Struct, frozen=True):
    """What trends, best first."""

    items: list[Recommendation]


class Rejection(msgspec.Struct, frozen=True):
    """An element of a batch that was not taken, and what to do about it."""

    index: int
    field: str = ""
    value: Any = None
    remedy: str = ""


class ItemsTaken(msgspec.Struct, frozen=True):
    """What became of a batch of items; `item_ids` by place in the batch, None where the item was rejected."""

    accepted: int
    item_ids: list[str | None]
    rejected: list[Rejection] = []
    offset: int = 0


class EditorialList(msgspec.Struct, frozen=True):
    """A list made by people; times in ms UTC, 0 for always; `unknown_items` are not registered yet."""

    name: str
    title: str = ""
    item_ids: list[str] = []
    starts: int = 0
    ends: int = 0
    surfaces: list[str] = []
    unknown_items: int = 0


class ListTaken(msgspec.Struct, frozen=True):
    """An editorial list as it is in force now."""

    list: EditorialList
    offset: int = 0


class EditorialLists(msgspec.Struct, frozen=True):
    """All editorial lists."""

    lists: list[EditorialList]


class EventsTaken(msgspec.Struct, frozen=True):
    """What became of a batch of events."""

    accepted: int
    rejected: list[Rejection] = []


class UserErased(msgspec.Struct, frozen=True):
    """Gone from state and lists; the lake and the next release follow."""

    user_id: str
    offset: int
