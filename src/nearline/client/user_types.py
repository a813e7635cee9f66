"""The answers about users. Fields that a newer server adds are ignored."""

from __future__ import annotations

import msgspec


class Profile(msgspec.Struct, frozen=True):
    """A user's demographics as they are now. A list whose `offset` is as large has seen them."""

    user_id: str
    demographics: dict[str, str]
    offset: int = 0


class InterestsTaken(msgspec.Struct, frozen=True):
    """How many interests count now; a wide category counts as the paths below it."""

    user_id: str
    accepted: int
    offset: int = 0


class OnboardingCategory(msgspec.Struct, frozen=True):
    """A category to choose, with the picture of its most popular item."""

    category: str
    image_url: str = ""


class OnboardingItem(msgspec.Struct, frozen=True):
    """An item to choose."""

    item_id: str
    title: str = ""
    category: str = ""
    brand: str = ""
    image_url: str = ""


class Onboarding(msgspec.Struct, frozen=True):
    """What a new visitor may choose from, by popularity."""

    categories: list[OnboardingCategory]
    items: list[OnboardingItem]


class RecentUser(msgspec.Struct, frozen=True):
    """A user of late: time of the last event, ms UTC, and events among those looked at."""

    user_id: str
    last_seen: int = 0
    events: int = 0


class RecentUsers(msgspec.Struct, frozen=True):
    """The users of the newest events, the latest first."""

    users: list[RecentUser]
