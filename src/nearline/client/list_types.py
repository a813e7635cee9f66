"""The answers of pages, batches and explanations, and what a batch asks. Fields that a newer server adds are ignored."""

from __future__ import annotations

import msgspec

from nearline.client.types import Explanation, Recommendation, Recommendations, Rejection


class PageRow(msgspec.Struct, frozen=True):
    """A titled list of a page; events that answer it name its `request_id`."""

    name: str
    title: str
    request_id: str
    items: list[Recommendation]


class Page(msgspec.Struct, frozen=True):
    """A page of rows, from the top down; the rest is as of a list."""

    request_id: str
    page: str
    rows: list[PageRow]
    model_version: str = ""
    served_from: str = ""
    offset: int = 0
    missing: tuple[str, ...] = ()


class ListRequest(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One list of a batch: for whom, where, and which items it may hold."""

    user_id: str = ""
    session_id: str = ""
    context: str = ""
    page_size: int | None = None
    item_id: str = ""
    exclude: tuple[str, ...] = ()
    filter: tuple[str, ...] = ()
    cart: tuple[str, ...] = ()
    device: str = ""
    locale: str = ""
    location: str = ""
    explain: bool = False


class BatchedList(msgspec.Struct, frozen=True):
    """A list and the place of its request in the batch."""

    index: int
    list: Recommendations


class BatchedLists(msgspec.Struct, frozen=True):
    """The lists in the order of the batch, and the requests that have none."""

    lists: list[BatchedList]
    rejected: list[Rejection] = []


class Finding(msgspec.Struct, frozen=True):
    """A source that found the item, at which rank of how many; `share` is its part of the find, of a sum of 1."""

    source: str
    rank: int
    of: int
    score: float
    share: float = 0.0
    source_item_id: str = ""


class Change(msgspec.Struct, frozen=True):
    """What one step did to the item: rank (0 where nothing was ordered yet) and score after it and before it."""

    step: str
    of: int
    rank: int = 0
    score: float | None = None
    was_rank: int = 0
    was_score: float | None = None


class LastShown(msgspec.Struct, frozen=True):
    """The last item of the list; `gap` is its score less that of the item asked about."""

    item_id: str
    rank: int
    score: float
    gap: float | None = None


class Why(msgspec.Struct, frozen=True):
    """Why an item is in a list, or why not: `answer` and `needed` in words, `rank` 0 where it is not shown."""

    item_id: str
    verdict: str
    answer: str
    needed: str = ""
    model_version: str = ""
    served_from: str = ""
    offset: int = 0
    rank: int = 0
    final_rank: int = 0
    score: float | None = None
    lost_at: str = ""
    explanation: Explanation | None = None
    filtered_by: list[str] = []
    retrieved_by: list[Finding] = []
    changes: list[Change] = []
    last_shown: LastShown | None = None
    missing: tuple[str, ...] = ()
