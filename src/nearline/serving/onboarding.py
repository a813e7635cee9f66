"""Onboarding: a few popular things of many kinds, for a new visitor to choose from."""

from __future__ import annotations

import msgspec
import numpy as np

from nearline.schema.candidates import I32
from nearline.stores.catalog import Catalog


class OnboardingItem(msgspec.Struct, frozen=True):
    """An item to choose."""

    item_id: str
    title: str
    category: str
    brand: str
    image_url: str


class OnboardingCategory(msgspec.Struct, frozen=True):
    """A category to choose, with the picture of its most popular item."""

    category: str
    image_url: str


class Onboarding(msgspec.Struct, frozen=True):
    """What a new visitor may choose from, both by popularity; send choices to `POST /v1/users/{user_id}/interests`."""

    categories: list[OnboardingCategory]
    items: list[OnboardingItem]


def onboarding(catalog: Catalog, popular: I32, n: int) -> Onboarding:
    """Return up to `n` categories and `n` items.

    Items are taken in turns: the best of every category, then the second of every category, and so on.

    Args:
        popular: slots of items, most popular first, `[m] int32`.
    """
    own = catalog.columns.category[popular]
    _, first, group = np.unique(own, return_index=True, return_inverse=True)
    # How many of its own category stand before each item, then by that and by popularity.
    order = np.argsort(group, kind="stable")
    starts = np.concatenate(([0], np.cumsum(np.bincount(group))))[:-1] if len(popular) else np.zeros(0, np.int64)
    turn = np.empty(len(popular), np.int64)
    turn[order] = np.arange(len(popular)) - starts[group[order]]
    chosen = popular[np.argsort(turn, kind="stable")[:n]]
    heads = [catalog.items[catalog.ids[slot]] for slot in popular[np.sort(first)].tolist()]
    items = [catalog.items[catalog.ids[slot]] for slot in chosen.tolist()]
    return Onboarding(
        [OnboardingCategory(item.category, item.image_url) for item in heads if item.category][:n],
        [OnboardingItem(item.item_id, item.title, item.category, item.brand, item.image_url) for item in items],
    )
