"""Events, as both clients take them: into the outbox at once, and out of it by what the server answered."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from time import monotonic
from typing import Any

import httpx

from nearline.client import http
from nearline.client.http import BUSY, SENDING
from nearline.client.outbox import Outbox, OutboxOptions, OutboxStats, event_of


class EventSender(ABC):
    """What a client does with events, whether a thread or a task sends them.

    Args:
        outbox: how events wait and leave.
    """

    def __init__(self, outbox: OutboxOptions | None) -> None:
        self._outbox = Outbox(outbox or OutboxOptions(), self._notify)
        self._deadline = float("inf")

    @abstractmethod
    def _notify(self) -> None:
        """Have the sender look."""

    def event(
        self,
        event_type: str,
        *,
        user_id: str = "",
        item_id: str = "",
        session_id: str = "",
        request_id: str = "",
        page: str = "",
        position: int | None = None,
        device: str = "",
        price: float | None = None,
        rating: float | None = None,
        dwell_ms: int | None = None,
        timestamp: int | None = None,
        event_id: str = "",
        context: Mapping[str, Any] | None = None,
        value: Mapping[str, Any] | None = None,
    ) -> str | None:
        """Put an event into the queue and return at once, in `AsyncClient` too: its id, or None where it was dropped.

        Sent again after a broken connection it still counts once, by its id.

        Args:
            event_type: as the application declares it.
            user_id, session_id: who; an anonymous visitor has only a session.
            item_id: about what.
            request_id: of the list that the event answers.
            timestamp: s or ms UTC; now where not given.
            event_id: made where not given.
            context, value: whatever else the event should carry.
        """
        where = {"request_id": request_id, "page": page, "position": position, "device": device}
        what = {"price": price, "rating": rating, "dwell_ms": dwell_ms}
        return self._outbox.put(
            event_of(event_type, user_id, item_id, session_id, timestamp, event_id, context, value, where, what)
        )  # fmt: skip

    def stats(self) -> OutboxStats:
        """Return what became of events so far."""
        return self._outbox.stats()

    def _settled(self, batch: list[bytes], response: httpx.Response | None, attempt: int) -> list[list[bytes]] | float:
        """Return what an answer to a batch means: parts to send by themselves, or the seconds until it is sent again.

        Args:
            response: None where none came.
            attempt: from 0.
        """
        asked = None
        if response is not None:
            if response.status_code not in BUSY and response.status_code < 500:
                return self._outbox.settle(batch, response.status_code, response.content)
            asked = http.retry_after(response)
        wait = SENDING.wait(attempt, asked)
        if monotonic() + wait > self._deadline:
            self._outbox.give_up(batch)
            return []
        self._outbox.retries += 1
        return wait
