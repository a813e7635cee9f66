"""Users: what they say of themselves, what new ones may choose, who was here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, UnsetType

from nearline.client.asking import Asking, AsyncAsking, at, said, sending
from nearline.client.http import Request
from nearline.client.user_types import InterestsTaken, Onboarding, Profile, RecentUser, RecentUsers

_USER, _INTERESTS = "/v1/users/{}", "/v1/users/{}/interests"
Given = str | UnsetType | None
"""Text, None to withdraw it, or nothing said."""


def _set(**given: Any) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not UNSET}


class UserCalls(Asking):
    """Endpoints of users, beside what is known of one."""

    def put_profile(self, user_id: str, *, age_group: str = "", gender: str = "", location: str = "") -> Profile:
        """Set a user's demographics; what is not given is withdrawn."""
        body = said({"age_group": age_group, "gender": gender, "location": location})
        return self._ask(sending("PUT", at(_USER, user_id), body), Profile)

    def change_profile(
        self, user_id: str, *, age_group: Given = UNSET, gender: Given = UNSET, location: Given = UNSET
    ) -> Profile:
        """Change the demographics that are given; None withdraws one."""
        body = _set(age_group=age_group, gender=gender, location=location)
        return self._ask(sending("PATCH", at(_USER, user_id), body), Profile)

    def add_interests(
        self, user_id: str, *, categories: Sequence[str] = (), brands: Sequence[str] = (), items: Sequence[str] = ()
    ) -> InterestsTaken:
        """Say what a user likes; his next list goes by it. It is not tried again after a broken connection."""
        body = said({"categories": tuple(categories), "brands": tuple(brands), "items": tuple(items)})
        return self._ask(sending("POST", at(_INTERESTS, user_id), body, again=False), InterestsTaken)

    def onboarding(self, n: int = 12) -> Onboarding:
        """Return up to `n` categories and `n` items for a new visitor to choose from."""
        return self._ask(Request("GET", "/v1/onboarding", {"n": n}), Onboarding)

    def users(self, limit: int = 20) -> list[RecentUser]:
        """Return the users of the newest events, the latest first."""
        return self._ask(Request("GET", "/v1/users", {"limit": limit}), RecentUsers).users


class AsyncUserCalls(AsyncAsking):
    """Endpoints of users, beside what is known of one."""

    async def put_profile(self, user_id: str, *, age_group: str = "", gender: str = "", location: str = "") -> Profile:
        """Set a user's demographics; what is not given is withdrawn."""
        body = said({"age_group": age_group, "gender": gender, "location": location})
        return await self._ask(sending("PUT", at(_USER, user_id), body), Profile)

    async def change_profile(
        self, user_id: str, *, age_group: Given = UNSET, gender: Given = UNSET, location: Given = UNSET
    ) -> Profile:
        """Change the demographics that are given; None withdraws one."""
        body = _set(age_group=age_group, gender=gender, location=location)
        return await self._ask(sending("PATCH", at(_USER, user_id), body), Profile)

    async def add_interests(
        self, user_id: str, *, categories: Sequence[str] = (), brands: Sequence[str] = (), items: Sequence[str] = ()
    ) -> InterestsTaken:
        """Say what a user likes; his next list goes by it. It is not tried again after a broken connection."""
        body = said({"categories": tuple(categories), "brands": tuple(brands), "items": tuple(items)})
        return await self._ask(sending("POST", at(_INTERESTS, user_id), body, again=False), InterestsTaken)

    async def onboarding(self, n: int = 12) -> Onboarding:
        """Return up to `n` categories and `n` items for a new visitor to choose from."""
        return await self._ask(Request("GET", "/v1/onboarding", {"n": n}), Onboarding)

    async def users(self, limit: int = 20) -> list[RecentUser]:
        """Return the users of the newest events, the latest first."""
        return (await self._ask(Request("GET", "/v1/users", {"limit": limit}), RecentUsers)).users
