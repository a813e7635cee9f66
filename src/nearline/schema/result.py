"""A result: a list that was made before it is asked for, as it is delivered to subscribers."""

from __future__ import annotations

import msgspec

from nearline.schema.served import ServedItem


class Result(msgspec.Struct, frozen=True):
    """One user's list for one surface.

    Attributes:
        items: best first, as the API has them; empty where there is none any more: his data was erased.
        offset: in his partition of `user_events`, up to which the list has seen his events.
        release: that ranked it, "none" before the first.
        made_at: ms UTC of the wall clock, whatever time the application's data is from.
        request_id: that clicks bring back; it ends with the surface.
    """

    tenant: str
    user_id: str
    surface: str
    items: list[ServedItem]
    offset: int
    release: str
    made_at: int
    request_id: str

    @property
    def age(self) -> tuple[int, int]:
        """What tells which of two is newer: first what was seen, then when it was made."""
        return self.offset, self.made_at


def newest(results: list[Result]) -> list[int]:
    """Return the places of the newest result of each user and surface, in order."""
    best: dict[tuple[str, str], int] = {}
    for place, result in enumerate(results):
        at = best.setdefault((result.user_id, result.surface), place)
        if result.age > results[at].age:
            best[result.user_id, result.surface] = place
    return sorted(best.values())
