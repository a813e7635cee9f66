"""The bodies of successful answers; lists themselves are in `schema.served`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from nearline.schema.item import Item
from nearline.schema.rules import Rule
from nearline.schema.served import ServedItem
from nearline.serving.bodies import Rejection
from nearline.stores.recent import RecentUser
from nearline.stores.releases import Manifest


class EventsTaken(msgspec.Struct, frozen=True):
    """What became of a batch.

    Attributes:
        accepted: number of events that are durable now.
        event_ids: by place in the batch, null where the event was rejected.
        rejected: the others, each with what to do.
        unknown_items: accepted events about items that are not registered.
        offset: a list for the last event's user whose `offset` is as large has seen these events.
    """

    accepted: int
    event_ids: list[str | None]
    rejected: list[Rejection]
    unknown_items: int
    offset: int


class ItemTaken(msgspec.Struct, frozen=True):
    """The item as it is registered now; `offset` is its place in `item_events`."""

    item: Item
    offset: int


class ItemsTaken(msgspec.Struct, frozen=True):
    """What became of a batch; `item_ids` by place in the batch, null where the item was rejected."""

    accepted: int
    item_ids: list[str | None]
    rejected: list[Rejection]
    offset: int


class Similar(msgspec.Struct, frozen=True):
    """Items similar to `source_item`, best first."""

    source_item: str
    items: Sequence[Any]


class Trending(msgspec.Struct, frozen=True):
    """What trends, best first."""

    items: Sequence[ServedItem]


class RuleTaken(msgspec.Struct, frozen=True):
    """The rule as it is set now; `offset` is its place in `item_events`."""

    rule: Rule
    offset: int


class RuleShown(msgspec.Struct, frozen=True, omit_defaults=True):
    """A rule as it stands.

    Attributes:
        origin: "application" or "declared" (over HTTP); a declared one goes before the application's of its name.
        state: "in_force", "waiting" for its start, "over", or "refused": the application has changed since it was set.
        problem: why it is refused.
    """

    rule: Rule
    origin: str
    state: str
    problem: str = ""


class RulesShown(msgspec.Struct, frozen=True):
    """Every rule, the highest priority first."""

    rules: list[RuleShown]


class UserErased(msgspec.Struct, frozen=True):
    """Gone from state and lists; the lake and the next release follow. `offset` is the tombstone's."""

    user_id: str
    offset: int


class ProfileTaken(msgspec.Struct, frozen=True):
    """A user's demographics as they are now. A list whose `offset` is as large has seen them."""

    user_id: str
    demographics: dict[str, str]
    offset: int


class InterestsTaken(msgspec.Struct, frozen=True):
    """What became of a choice: `accepted` interests (a wide category counts as the paths below it) are in the user's state."""

    user_id: str
    accepted: int
    offset: int


class Health(msgspec.Struct, frozen=True):
    """`status` is "ok" or "ready"."""

    status: str


class EventKind(msgspec.Struct, frozen=True):
    """An event type that the application declares."""

    name: str
    role: str
    weight: float
    outcome: bool


class AttributeKind(msgspec.Struct, frozen=True):
    """An attribute of items that filters and rules may name, and what can be asked of it."""

    name: str
    kind: str
    ops: list[str]


class PageKind(msgspec.Struct, frozen=True):
    """A page of rows, and the surface whose sources it asks."""

    name: str
    surface: str


class Application(msgspec.Struct, frozen=True):
    """What the application declares; `items` is how many are registered now."""

    name: str
    version: str
    events: list[EventKind]
    surfaces: list[str]
    pages: list[PageKind]
    attributes: list[AttributeKind]
    items: int


class Releases(msgspec.Struct, frozen=True):
    """All releases, the newest first; `in_service` is the one that answers here, "" before the first."""

    in_service: str
    releases: list[Manifest]


class Users(msgspec.Struct, frozen=True):
    """The users of the newest events, the latest first."""

    users: list[RecentUser]
