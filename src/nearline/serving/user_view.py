"""A user's state as a person can read it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np

from nearline.features.history import newest_first
from nearline.schema.clock import MINUTE
from nearline.schema.event import Role
from nearline.schema.profile import AGE_GROUPS, GENDERS
from nearline.serving.profiles import location_name
from nearline.stores.world import OnlineWorld


def user_view(world: OnlineWorld, visitor: int, user_id: str, now: int) -> dict[str, Any] | None:
    """Return recent views, preferences, session and times of a visitor; `None` where nothing is kept of him."""
    user = world.hydrate(visitor, now)
    if user.offset < 0 or user.last == 0:
        return None
    catalog, rows = world.catalog, user.rows
    view: dict[str, Any] = {"user_id": user_id, "recent_views": [], "recent_searches": [], "demographics": {}}
    if "history" in rows:
        items, seconds, roles = newest_first(rows["history"])
        slots = world.item_slots(items)
        view["recent_views"] = [
            {"item_id": catalog.ids[slot], "at": _iso(int(second) * 1000), "role": Role(int(role)).name.lower()}
            for slot, second, role in zip(slots.tolist(), seconds.tolist(), roles.tolist(), strict=True)
            if slot >= 0 and catalog.ids[slot]
        ][:20]
    if "searches" in rows:
        own = rows["searches"][0]
        view["recent_searches"] = [
            {"at": _iso(int(second) * 1000), "words": int(np.count_nonzero(words))}
            for words, second in zip(own["words"], own["seconds"].tolist(), strict=True)
            if second
        ]
    if "demographics" in rows:
        view["demographics"] = _demographics(world, rows["demographics"][0])
    view["preferences"] = _preferences(world, rows)
    if "session" in rows:
        session = rows["session"][0]
        live = int(session["last"]) > 0 and now - int(session["last"]) <= 30 * MINUTE
        view["session_context"] = {
            "session_start": _iso(int(session["start"])) if live else None,
            "current_category": catalog.names.get(int(session["category"])) if live else None,
            "page_views_in_session": int(session["views"]) if live else 0,
        }
    view["last_updated"] = _iso(user.last)
    view["offset"] = user.offset
    return view


def _demographics(world: OnlineWorld, row: Any) -> dict[str, str]:
    age, gender = int(row["age_group"]), int(row["gender"])
    known = {
        "age_group": AGE_GROUPS[age - 1] if age else "",
        "gender": GENDERS[gender - 1] if gender else "",
        "location": location_name(int(row["location"]), world.declared),
    }
    return {name: value for name, value in known.items() if value}


def _preferences(world: OnlineWorld, rows: Any) -> dict[str, Any]:
    if "affinity" not in rows:
        return {}
    row, names = rows["affinity"][0], world.catalog.names

    def best(keys: Any, weights: Any) -> list[dict[str, Any]]:
        total = max(1, int(weights.sum()))
        return [
            {"name": names[int(keys[i])], "share": round(int(weights[i]) / total, 3)}
            for i in np.argsort(-weights, kind="stable").tolist()
            if int(keys[i]) in names and weights[i] > 0
        ]

    mean = int(row["price"]) / int(row["prices"]) / 1000 if int(row["prices"]) else None
    return {
        "categories": best(row["categories"], row["category_weights"]),
        "brands": best(row["brands"], row["brand_weights"]),
        "price_range": None if mean is None else {"mean": round(mean, 2)},
    }


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat()
