"""Events as most clients send them, decoded straight into typed structs: twice as fast as the careful way.

What it can't take, wrong or merely unusual (another field in context, a null, a number for a page), it leaves to
`EventValidator`, which looks at the whole body again and says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from nearline.schema.errors import NearlineError
from nearline.schema.event import Record
from nearline.serving.bodies import LONGEST_ID, Bodies, identifier
from nearline.serving.times import FIRST
from nearline.stores.catalog import Catalog

MOST_POSITION = 1_000_000
MOST_DWELL = 2**31 - 1
MOST_PRICE = 1e12
MOST_RATING = 10
Text = Annotated[str, Meta(max_length=LONGEST_ID)]
Device = Literal["desktop", "mobile", "tablet", "tv", "app"]


class Context(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What of a context has a field of its own in `Record`."""

    page: Text = ""
    position: Annotated[int, Meta(ge=0, le=MOST_POSITION)] | None = None
    request_id: Text = ""
    session_id: Text = ""
    device: Device | UnsetType = UNSET


class Value(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What of an event_value has a field of its own in `Record`."""

    rating: Annotated[float, Meta(ge=0, le=MOST_RATING)] | None = None
    dwell_ms: Annotated[int, Meta(ge=0, le=MOST_DWELL)] | None = None
    price: Annotated[float, Meta(ge=-MOST_PRICE, le=MOST_PRICE)] | None = None


class PlainEvent(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An event without anything unusual."""

    event_type: str
    user_id: Text | int = ""
    item_id: Text | int = ""
    timestamp: int | float | str | None = None
    event_id: Text = ""
    session_id: Text = ""
    context: Context | UnsetType = UNSET
    event_value: Value | UnsetType = UNSET


NO_CONTEXT, NO_VALUE = Context(), Value()


class PlainEvents:
    """Takes bodies whose events are all plain and right.

    Args:
        needs_item: event types, and whether each is about an item.
        catalog: where category, brand and price come from.
        time: from a time as given, and now, to ms UTC.
    """

    def __init__(self, needs_item: Mapping[str, bool], catalog: Catalog, time: Callable[[int | float | str, int], int]) -> None:
        self._needs_item, self._catalog, self._time = needs_item, catalog, time
        self._bodies = Bodies(PlainEvent, "events")

    def records(self, body: bytes, now: int, assign: Callable[[int], Callable[[], str]]) -> tuple[list[Record], int] | None:
        """Return the events of a body, and how many are about unregistered items; `None` where it takes a careful look.

        Args:
            now: ms UTC.
            assign: from a number of events to what gives each an id.

        Raises:
            NearlineError: it has too many events, or none.
        """
        # JSON has no other way to hold the one character that ids may not.
        events = None if b"\\u0000" in body else self._bodies.decode(body)
        if events is None:
            return None
        new_id = assign(len(events))
        try:
            return self._made(events, now, new_id)
        except NearlineError:
            return None

    def _made(self, events: list[PlainEvent], now: int, new_id: Callable[[], str]) -> tuple[list[Record], int] | None:
        out: list[Record] = []
        unknown, items, kinds = 0, self._catalog.items, self._needs_item
        for event in events:
            event_type, time, user_id, item_id = event.event_type, event.timestamp, event.user_id, event.item_id
            context = NO_CONTEXT if event.context is UNSET else event.context
            value = NO_VALUE if event.event_value is UNSET else event.event_value
            needs_item = kinds.get(event_type)
            if needs_item is None:
                return None
            if type(user_id) is not str:
                user_id = identifier(user_id, "user_id")
            if type(item_id) is not str:
                item_id = identifier(item_id, "item_id")
            if time is None:
                time = now
            elif type(time) is not int or not FIRST <= time <= now:
                time = self._time(time, now)
            session_id = event.session_id or context.session_id
            category, brand, price = "", "", None
            if item_id:
                if (item := items.get(item_id)) is None:
                    unknown += 1
                else:
                    category, brand, price = item.category, item.brand, item.price
            elif needs_item:
                return None
            if not user_id and not session_id:
                return None
            out.append(
                Record(
                    event.event_id or new_id(),
                    event_type,
                    user_id,
                    item_id,
                    time,
                    now,
                    session_id,
                    context.request_id,
                    context.page,
                    context.position,
                    value.rating,
                    value.dwell_ms,
                    value.price,
                    category,
                    brand,
                    price,
                    "" if context.device is UNSET else context.device,
                )
            )
        return out, unknown
