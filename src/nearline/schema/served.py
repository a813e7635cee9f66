"""A served list: what the client gets, what the trace keeps, what the log remembers."""

from __future__ import annotations

from typing import Any

import msgspec

from nearline.schema.event import Record
from nearline.schema.ids import visitor_key
from nearline.schema.query import Query

IMPRESSION = "$impression"
"""Event type of a list in the topic `feedback`."""

SERVED_FROM = {
    "ranker": "every stage on time, ranked by the release's ranker",
    "light_ranker": "the ranker was late or failed; the light ranker of the same release ordered the candidates",
    "retrieval": "no ranker in time, or no release yet; candidates in order of retrieval",
    "last_list": "retrieval was late; the list made last for this user",
    "published": "the list that was published for this user before (`[storage] results`)",
    "trending_category": "nothing made for this user in time; what trends in his category",
    "trending": "what trends",
    "available": "nothing trends; available items",
}
"""Values of `served_from`, from the best to the last resort."""


class Explanation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why an item is in the list.

    Attributes:
        type: what kind of reason it is.
        reason: in the visitor's language.
        source_item_id: the item that led to it, where one did.
        retrieval_shares: where the query asked for it, how much each source did to find the item: its part of the
            reciprocal rank fusion, 1 / (60 + rank), of a sum of 1. It says who found it, not what a ranker made of it.
    """

    type: str
    reason: str
    source_item_id: str = ""
    retrieval_shares: dict[str, float] = msgspec.field(default_factory=dict)


class ServedItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One place of a list. `rank` counts from 1; `metadata` is the catalogue's fragment, encoded; `label` must be shown."""

    item_id: str
    rank: int
    score: float
    explanation: Explanation
    metadata: msgspec.Raw
    rec_source: str
    label: str = ""


class Served(msgspec.Struct, frozen=True, omit_defaults=True):
    """A list as answered.

    Attributes:
        offset: of `user_events`, up to which the state was when the list was made.
        missing: components that failed or were late.
        trace: what each stage did, where the query asked for it.
    """

    request_id: str
    items: list[ServedItem]
    model_version: str
    served_from: str
    offset: int = 0
    missing: tuple[str, ...] = ()
    trace: dict[str, Any] | None = None


class ServedRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row of a page: a titled list. Events name its `request_id`."""

    name: str
    title: str
    request_id: str
    items: list[ServedItem]


class ServedPage(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page as answered; the rest is as of a list."""

    request_id: str
    page: str
    rows: list[ServedRow]
    model_version: str
    served_from: str
    offset: int = 0
    missing: tuple[str, ...] = ()


class Impression(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a list leaves in the log, as JSON in its record's context: enough to learn from and to recompute features.

    Attributes:
        items, scores, sources: by rank.
        propensities: probability with which each was shown at its rank; none where nothing was left to chance, as if 1.
        explored: ranks, from 1, at which stands what was drawn.
        now: ms UTC of the clock when it was made.
        offset: state offset it was made at, -1 when a batch was being folded meanwhile.
        cart, location: what the request said.
        page, row: where the list is a row of a page, their names.
        features: the served vectors, `[n_items][n_features]` with None for missing, where the settings ask for them.
    """

    items: list[str]
    scores: list[float]
    sources: list[str]
    now: int
    offset: int
    surface: str
    release: str
    served_from: str
    variant: str = ""
    device: str = ""
    propensities: list[float] = msgspec.field(default_factory=list)
    features: list[list[float | None]] = msgspec.field(default_factory=list)
    cart: list[str] = msgspec.field(default_factory=list)
    location: str = ""
    explored: list[int] = msgspec.field(default_factory=list)
    page: str = ""
    row: str = ""

    def query(self, record: Record) -> Query:
        """Return the request that this answered, as far as it counts for features, from its record in the log."""
        return Query(
            visitor_key(record.user_id, record.session_id),
            self.now,
            surface=self.surface,
            item_id=record.item_id,
            cart=tuple(self.cart),
            device=self.device,
            location=self.location,
            limits=False,
            log=False,
        )
