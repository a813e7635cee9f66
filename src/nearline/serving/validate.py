"""Events as clients send them to records as the log keeps them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import msgspec

from nearline.app.definition import App
from nearline.schema.clock import SECOND, Clock
from nearline.schema.errors import NearlineError
from nearline.schema.event import DEVICES, EventIn, Record
from nearline.serving.bodies import Bodies, Rejection, identifier, nearest, shown
from nearline.serving.plain_events import MOST_DWELL, MOST_POSITION, MOST_PRICE, MOST_RATING, PlainEvents
from nearline.serving.times import FIRST, milliseconds, readable
from nearline.stores.catalog import Catalog

LONGEST_QUERY = 500
MOST_CONTEXT = 16_384
"""Bytes of JSON that the rest of context and event_value may take."""
_WITHOUT_ITEM = ("search", "none")
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Accepted:
    """What a body came to.

    Attributes:
        records: the good events, in order.
        event_ids: of each event by its place in the body, `None` where it was rejected.
        rejected: the bad ones.
        unknown_items: good events about items that are not registered.
    """

    records: list[Record]
    event_ids: list[str | None]
    rejected: list[Rejection]
    unknown_items: int = 0


class EventValidator:
    """Checks events and stamps them with what the catalogue says of their item.

    Args:
        app: its event types are the only ones accepted.
        catalog: where category, brand and price come from.
        clock: gives events their time where they bring none.
        ahead_seconds: an event further ahead of the clock is rejected.
    """

    def __init__(self, app: App, catalog: Catalog, clock: Clock, ahead_seconds: int) -> None:
        self._needs_item = {kind.name: kind.role not in _WITHOUT_ITEM for kind in app.types}
        self._catalog, self._clock, self._ahead = catalog, clock, ahead_seconds * SECOND
        self._bodies = Bodies(EventIn, "events")
        self._plain = PlainEvents(self._needs_item, catalog, self._time)

    def validate(self, body: bytes) -> Accepted:
        """Return the events of a body: one, an array, or `{"events": [...]}`, up to 1,000.

        Raises:
            MalformedError: it is not JSON.
            NearlineError: it is neither of these forms.
        """
        now = self._clock.now()
        if (plain := self._plain.records(body, now, lambda n: _Ids(n).take)) is not None:
            records, unknown = plain
            return Accepted(records, [record.event_id for record in records], [], unknown)
        events = self._bodies.decode(body)
        out = Accepted([], [], [])
        given: list[Any] = self._bodies.split(body) if events is None else events
        assigned = _Ids(len(given))
        for index, one in enumerate(given):
            try:
                event = self._bodies.element(one) if events is None else one
                record = self._record(event, now, assigned, out)
            except NearlineError as error:
                out.rejected.append(Rejection(index, error.field, shown(error.value), error.remedy))
                out.event_ids.append(None)
            else:
                out.records.append(record)
                out.event_ids.append(record.event_id)
        return out

    def _record(self, event: EventIn, now: int, assigned: _Ids, out: Accepted) -> Record:
        event_type, item_id, time = event.event_type, event.item_id, event.timestamp
        needs_item = self._needs_item.get(event_type)
        if needs_item is None:
            remedy = f"the application declares no such event type{nearest(event_type, self._needs_item)}"
            raise NearlineError("event_type", shown(event_type), remedy)
        if time is None:
            time = now
        elif type(time) is not int or not FIRST <= time <= now:
            time = self._time(time, now)
        record = Record(
            identifier(event.event_id, "event_id") if event.event_id else assigned.take(),
            event_type,
            identifier(event.user_id, "user_id"),
            identifier(item_id, "item_id") if item_id != "" else "",
            time,
            now,
            identifier(event.session_id, "session_id") if event.session_id else "",
        )
        if event.context:
            _stamp_context(record, event.context)
        if event.event_value:
            _stamp_value(record, event.event_value)
        if event.context or event.event_value:  # what is left of them
            record.context = _rest(event.context, event.event_value)
        if not record.user_id and not record.session_id:
            remedy = "say who acts: give user_id, or session_id for an anonymous visitor"
            raise NearlineError("user_id", "", remedy)
        if record.item_id:
            item = self._catalog.items.get(record.item_id)
            if item is None:
                out.unknown_items += 1
            else:
                record.category, record.brand, record.price = item.category, item.brand, item.price
        elif needs_item:
            raise NearlineError("item_id", "", f'a "{event_type}" is about an item: give its id')
        return record

    def _time(self, given: int | float | str, now: int) -> int:
        time = milliseconds(given, "timestamp")
        if time > now + self._ahead:
            remedy = f"it is ahead of the clock, which says {readable(now)}; send when it happened, in UTC"
            raise NearlineError("timestamp", shown(given), remedy)
        return time


class _Ids:
    """Random event ids, drawn for a whole batch when the first is needed; 32 hex digits each."""

    def __init__(self, n: int) -> None:
        self._n, self._at, self._digits = n, 0, ""

    def take(self) -> str:
        if not self._digits:
            self._digits = os.urandom(16 * self._n).hex()
        self._at += 32
        return self._digits[self._at - 32 : self._at]


def _stamp_context(record: Record, context: dict[str, Any]) -> None:
    """Move what has a field of its own out of an event's context."""
    pop = context.pop
    if (given := pop("page", None)) is not None:
        record.page = identifier(given, "context.page")
    if (given := pop("position", None)) is not None:
        record.position = _whole(given, "context.position", MOST_POSITION)
    if (given := pop("request_id", None)) is not None:
        record.request_id = identifier(given, "context.request_id")
    if (given := pop("session_id", None)) is not None:
        own = identifier(given, "context.session_id")
        record.session_id = record.session_id or own
    given = context.get("device")
    if type(given) is str and given in _DEVICES:
        record.device = pop("device")


def _stamp_value(record: Record, value: dict[str, Any]) -> None:
    """Move what has a field of its own out of an event's value, and check what is known of the rest."""
    pop = value.pop
    if (given := pop("rating", None)) is not None:
        record.rating = _number(given, "event_value.rating", 0, MOST_RATING)
    if (given := pop("dwell_ms", None)) is not None:
        record.dwell_ms = _whole(given, "event_value.dwell_ms", MOST_DWELL)
    if (given := pop("price", None)) is not None:
        record.value = _number(given, "event_value.price", -MOST_PRICE, MOST_PRICE)
    if not value:
        return
    if (given := value.get("watch_percent")) is not None:
        _number(given, "event_value.watch_percent", 0, 100)
    if (given := value.get("query")) is not None and (type(given) is not str or len(given) > LONGEST_QUERY):
        remedy = f"give text of at most {LONGEST_QUERY} characters"
        raise NearlineError("event_value.query", shown(given), remedy)


_DEVICES = frozenset(DEVICES[1:])


def _rest(context: dict[str, Any], value: dict[str, Any]) -> str:
    rest = {**context, **value} if context and value else context or value
    try:
        text = _encode(rest)
    except (OverflowError, RecursionError, msgspec.MsgspecError):
        remedy = "keep whole numbers within 64 bits, or send text"
        raise NearlineError("context", shown(rest), remedy) from None
    if len(text) > MOST_CONTEXT:
        remedy = f"keep context and event_value below {MOST_CONTEXT:,} bytes; these are {len(text):,}"
        raise NearlineError("context", shown(rest), remedy)
    return text.decode()


def _whole(value: Any, field: str, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise NearlineError(field, shown(value), f"give a whole number from 0 to {most:,}")
    return value


def _number(value: Any, field: str, least: float, most: float) -> float:
    if type(value) not in (int, float) or not least <= value <= most:
        raise NearlineError(field, shown(value), f"give a number from {least:,.0f} to {most:,.0f}")
    return float(value)
