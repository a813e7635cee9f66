"""The client for threads."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic, sleep
from types import TracebackType
from typing import Any

import httpx
import msgspec

from nearline.client import http
from nearline.client.errors import NearlineClientError, UnavailableError
from nearline.client.events import EventSender
from nearline.client.http import BUSY, JSON, Request, Retry
from nearline.client.operation import OperationCalls
from nearline.client.outbox import Outbox, OutboxOptions
from nearline.client.pages import PageCalls
from nearline.client.rules import RuleCalls
from nearline.client.types import (
    EditorialList,
    EditorialLists,
    ItemsTaken,
    ListTaken,
    Recommendations,
    SimilarItems,
    Trending,
    UserErased,
)
from nearline.client.users import UserCalls


class Client(EventSender, PageCalls, UserCalls, RuleCalls, OperationCalls):
    """Talks to one server; any number of threads may share it.

    Connections are kept and reused. Closing, or the end of the program, sends what waits. A forked child starts with an
    empty queue and connections of its own.

    Args:
        base_url: such as "http://127.0.0.1:8080".
        api_key: sent as a bearer token.
        timeout: seconds per try.
        retry: of every call but `event`.
        outbox: how events wait and leave.
        transport: httpx's, for tests and special networks.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str = "",
        *,
        timeout: float = 5.0,
        retry: Retry | None = None,
        outbox: OutboxOptions | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        super().__init__(outbox)
        self._retry = retry or Retry()
        self._options = {**http.options(base_url, api_key, timeout), "transport": transport}
        self._http = httpx.Client(**self._options)
        self._wake, self._stopped = threading.Event(), threading.Event()
        self._starting = threading.Lock()
        self._sender: threading.Thread | None = None
        me = weakref.ref(self)

        def at_exit() -> None:
            if (client := me()) is not None:
                client.close()

        def in_child() -> None:
            if (client := me()) is not None:
                client._forked()

        self._at_exit = at_exit
        atexit.register(at_exit)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=in_child)

    def recommend(
        self,
        user_id: str = "",
        *,
        session_id: str = "",
        page_size: int | None = None,
        context: str = "",
        item_id: str = "",
        exclude: Sequence[str] = (),
        device: str = "",
        locale: str = "",
        after: str = "",
        **more: Any,
    ) -> Recommendations:
        """Return a list for a user or session; `more` are further parameters of the endpoint.

        Raises:
            UnavailableError: no answer in time, or the server was busy at every try.
            ApiError: the server refused; the error says why.
        """
        asked = http.recommend(user_id, session_id, page_size, context, item_id, exclude, device, locale, after, more)
        return msgspec.json.decode(self.request(asked), type=Recommendations)

    def similar(
        self, item_id: str, *, limit: int | None = None, diversity: float | None = None, user_id: str = "", session_id: str = ""
    ) -> SimilarItems:
        """Return items like one; errors as with `recommend`."""
        return msgspec.json.decode(
            self.request(http.similar(item_id, limit, diversity, user_id, session_id)), type=SimilarItems
        )

    def trending(self, *, limit: int | None = None, category: str = "") -> Trending:
        """Return what trends, overall or in a category; errors as with `recommend`."""
        return msgspec.json.decode(self.request(http.trending(limit, category)), type=Trending)

    def put_items(self, items: Sequence[Any]) -> ItemsTaken:
        """Register or replace up to 1,000 items, dicts or structs as the API has them; errors as with `recommend`."""
        return msgspec.json.decode(self.request(http.put_items(items)), type=ItemsTaken)

    def put_list(
        self,
        name: str,
        item_ids: Sequence[str],
        *,
        title: str = "",
        starts: int | None = None,
        ends: int | None = None,
        surfaces: Sequence[str] = (),
    ) -> EditorialList:
        """Keep an editorial list, in place of what had its name."""
        body = {"item_ids": list(item_ids), "title": title, "starts": starts, "ends": ends, "surfaces": list(surfaces)}
        return msgspec.json.decode(self.request(http.editorial_list(name, body)), type=ListTaken).list

    def lists(self) -> list[EditorialList]:
        """Return all editorial lists."""
        return msgspec.json.decode(self.request(Request("GET", "/v1/lists")), type=EditorialLists).lists

    def delete_list(self, name: str) -> None:
        """Withdraw an editorial list."""
        self.request(http.editorial_list(name, method="DELETE"))

    def user(self, user_id: str) -> dict[str, Any]:
        """Return what is known of a user; errors as with `recommend`, 404 where nothing is."""
        return msgspec.json.decode(self.request(http.user(user_id)), type=dict[str, Any])

    def erase(self, user_id: str) -> UserErased:
        """Erase a user; errors as with `recommend`."""
        return msgspec.json.decode(self.request(http.user(user_id, "DELETE")), type=UserErased)

    def request(self, asked: Request) -> bytes:
        """Send any request of the API, and again where that makes sense; return the body. Errors as with `recommend`."""
        for attempt in range(self._retry.tries):
            again = asked.again and attempt + 1 < self._retry.tries
            try:
                response = self._http.request(
                    asked.method, asked.path, params=asked.params, content=asked.body, headers=JSON if asked.body else None
                )  # fmt: skip
            except httpx.TransportError as error:
                if not again:
                    raise UnavailableError(f"{asked.method} {asked.path}: {error or type(error).__name__}") from error
                sleep(self._retry.wait(attempt))
                continue
            if response.status_code not in BUSY or not again:
                return http.checked(response)
            sleep(self._retry.wait(attempt, http.retry_after(response)))
        raise NearlineClientError("no tries: retry.tries must be 1 or more")

    def flush(self, timeout: float = 10.0) -> bool:
        """Send what waits now; return whether all of it left in time."""
        until = monotonic() + timeout
        while self._outbox.waiting:
            self._outbox.flush()
            if monotonic() > until:
                return False
            sleep(0.005)
        return True

    def close(self, timeout: float = 5.0) -> None:
        """Send what waits, for at most `timeout` seconds, and let go of everything. Closing twice is fine."""
        atexit.unregister(self._at_exit)
        self._deadline = monotonic() + timeout
        self._outbox.closing = True
        self._stopped.set()
        self._wake.set()
        sender = self._sender
        if sender is not None:
            sender.join(timeout + 0.5)
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.close()

    def _notify(self) -> None:
        self._wake.set()
        if self._sender is None:
            with self._starting:
                if self._sender is None:
                    self._sender = threading.Thread(target=self._send, name="nearline-events", daemon=True)
                    self._sender.start()

    def _forked(self) -> None:
        self._http = httpx.Client(**self._options)
        self._wake, self._stopped = threading.Event(), threading.Event()
        self._starting, self._sender = threading.Lock(), None
        self._outbox.restart()

    def _send(self) -> None:
        outbox = self._outbox
        while True:
            self._wake.clear()
            due = outbox.due()
            if due == 0.0:
                parts = [outbox.take()]
                while parts:
                    parts = self._deliver(parts[0]) + parts[1:]
            elif due is None and outbox.closing:
                return
            else:
                self._wake.wait(due)

    def _deliver(self, batch: list[bytes]) -> list[list[bytes]]:
        """Send a batch until it is taken, refused, or the client closes; return parts to send by themselves."""
        attempt, body = 0, Outbox.body(batch)
        while True:
            response = None
            # httpx says RuntimeError of a client that was closed meanwhile.
            with suppress(httpx.HTTPError, RuntimeError):
                response = self._http.post("/v1/events", content=body, headers=JSON)
            settled = self._settled(batch, response, attempt)
            if isinstance(settled, list):
                return settled
            attempt += 1
            # Closing cuts a long wait short, once: from then on the deadline holds.
            if self._stopped.wait(settled):
                sleep(min(settled, 0.1))
