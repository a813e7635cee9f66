"""A client of the HTTP API: `Client`, and `AsyncClient` for asyncio.

    from nearline.client import Client

    with Client("http://127.0.0.1:8080", api_key="...") as nearline:
        shown = nearline.recommend(user_id="u1", page_size=10)
        nearline.event("click", user_id="u1", item_id=shown.items[0].item_id, request_id=shown.request_id)

Events are sent in batches by a thread (or a task) of the client: `event` only puts them in a queue. HTTP is httpx's, from
the extra `nearline[client]`: connections are kept, proxies and certificates are what users of the field expect, and there
is one library for threads and for asyncio. Neither NumPy nor Numba is loaded.
"""

from __future__ import annotations

from nearline.client.aio import AsyncClient
from nearline.client.errors import ApiError, NearlineClientError, UnavailableError
from nearline.client.http import Retry
from nearline.client.list_types import BatchedList, BatchedLists, Change, Finding, LastShown, ListRequest, Page, PageRow, Why
from nearline.client.operation_types import Application, AttributeKind, EventKind, Gate, Item, PageKind, Release, Releases
from nearline.client.outbox import Outbox, OutboxOptions, OutboxStats
from nearline.client.rule_types import (
    AtLeast,
    AtMost,
    Boost,
    Bury,
    Condition,
    Exclude,
    Pin,
    PreviewPlace,
    Rule,
    RulePreview,
    RuleShown,
)
from nearline.client.sync import Client
from nearline.client.types import (
    EditorialList,
    Explanation,
    ItemsTaken,
    Recommendation,
    Recommendations,
    Rejection,
    SimilarItem,
    SimilarItems,
    Trending,
    UserErased,
)
from nearline.client.user_types import InterestsTaken, Onboarding, OnboardingCategory, OnboardingItem, Profile, RecentUser

__all__ = [
    "ApiError",
    "Application",
    "AsyncClient",
    "AtLeast",
    "AtMost",
    "AttributeKind",
    "BatchedList",
    "BatchedLists",
    "Boost",
    "Bury",
    "Change",
    "Client",
    "Condition",
    "EditorialList",
    "EventKind",
    "Exclude",
    "Explanation",
    "Finding",
    "Gate",
    "InterestsTaken",
    "Item",
    "ItemsTaken",
    "LastShown",
    "ListRequest",
    "NearlineClientError",
    "Onboarding",
    "OnboardingCategory",
    "OnboardingItem",
    "Outbox",
    "OutboxOptions",
    "OutboxStats",
    "Page",
    "PageKind",
    "PageRow",
    "Pin",
    "PreviewPlace",
    "Profile",
    "RecentUser",
    "Recommendation",
    "Recommendations",
    "Rejection",
    "Release",
    "Releases",
    "Retry",
    "Rule",
    "RulePreview",
    "RuleShown",
    "SimilarItem",
    "SimilarItems",
    "Trending",
    "UnavailableError",
    "UserErased",
    "Why",
]
