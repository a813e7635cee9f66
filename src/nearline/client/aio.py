"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import Any

import httpx
import msgspec

from nearline.client import http
from nearline.client.errors import NearlineClientError, UnavailableError
from nearline.client.events import EventSender
from nearline.client.http import BUSY, JSON, Request, Retry
from nearline.client.operation import AsyncOperationCalls
from nearline.client.outbox import Outbox, OutboxOptions
from nearline.client.pages import AsyncPageCalls
from nearline.client.rules import AsyncRuleCalls
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
from nearline.client.users import AsyncUserCalls


class AsyncClient(EventSender, AsyncPageCalls, AsyncUserCalls, AsyncRuleCalls, AsyncOperationCalls):
    """Talks to one server from one event loop; arguments and answers are those of `Client`.

    Close it, or use it in `async with`: no hook at the end of the program can send what waits, since the loop is gone then.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str = "",
        *,
        timeout: float = 5.0,
        retry: Retry | None = None,
        outbox: OutboxOptions | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(outbox)
        self._retry = retry or Retry()
        self._http = httpx.AsyncClient(**http.options(base_url, api_key, timeout), transport=transport)
        self._wake, self._stopped = asyncio.Event(), asyncio.Event()
        self._sender: asyncio.Task[None] | None = None

    async def recommend(
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
        """Return a list for a user or session; see `Client.recommend`."""
        asked = http.recommend(user_id, session_id, page_size, context, item_id, exclude, device, locale, after, more)
        return msgspec.json.decode(await self.request(asked), type=Recommendations)

    async def similar(
        self, item_id: str, *, limit: int | None = None, diversity: float | None = None, user_id: str = "", session_id: str = ""
    ) -> SimilarItems:
        """Return items like one."""
        asked = http.similar(item_id, limit, diversity, user_id, session_id)
        return msgspec.json.decode(await self.request(asked), type=SimilarItems)

    async def trending(self, *, limit: int | None = None, category: str = "") -> Trending:
        """Return what trends, overall or in a category."""
        return msgspec.json.decode(await self.request(http.trending(limit, category)), type=Trending)

    async def put_items(self, items: Sequence[Any]) -> ItemsTaken:
        """Register or replace up to 1,000 items, dicts or structs as the API has them."""
        return msgspec.json.decode(await self.request(http.put_items(items)), type=ItemsTaken)

    async def put_list(
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
        return msgspec.json.decode(await self.request(http.editorial_list(name, body)), type=ListTaken).list

    async def lists(self) -> list[EditorialList]:
        """Return all editorial lists."""
        return msgspec.json.decode(await self.request(Request("GET", "/v1/lists")), type=EditorialLists).lists

    async def delete_list(self, name: str) -> None:
        """Withdraw an editorial list."""
        await self.request(http.editorial_list(name, method="DELETE"))

    async def user(self, user_id: str) -> dict[str, Any]:
        """Return what is known of a user."""
        return msgspec.json.decode(await self.request(http.user(user_id)), type=dict[str, Any])

    async def erase(self, user_id: str) -> UserErased:
        """Erase a user."""
        return msgspec.json.decode(await self.request(http.user(user_id, "DELETE")), type=UserErased)

    async def request(self, asked: Request) -> bytes:
        """Send any request of the API, and again where that makes sense; return the body. See `Client.request`."""
        for attempt in range(self._retry.tries):
            again = asked.again and attempt + 1 < self._retry.tries
            try:
                response = await self._http.request(
                    asked.method, asked.path, params=asked.params, content=asked.body, headers=JSON if asked.body else None
                )  # fmt: skip
            except httpx.TransportError as error:
                if not again:
                    raise UnavailableError(f"{asked.method} {asked.path}: {error or type(error).__name__}") from error
                await asyncio.sleep(self._retry.wait(attempt))
                continue
            if response.status_code not in BUSY or not again:
                return http.checked(response)
            await asyncio.sleep(self._retry.wait(attempt, http.retry_after(response)))
        raise NearlineClientError("no tries: retry.tries must be 1 or more")

    async def flush(self, timeout: float = 10.0) -> bool:
        """Send what waits now; return whether all of it left in time."""
        until = monotonic() + timeout
        while self._outbox.waiting:
            self._outbox.flush()
            if monotonic() > until:
                return False
            await asyncio.sleep(0.005)
        return True

    async def close(self, timeout: float = 5.0) -> None:
        """Send what waits, for at most `timeout` seconds, and let go of everything. Closing twice is fine."""
        self._deadline = monotonic() + timeout
        self._outbox.closing = True
        self._stopped.set()
        self._wake.set()
        if self._sender is not None:
            await asyncio.wait([self._sender], timeout=timeout + 0.5)
            self._sender.cancel()
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self.close()

    def _notify(self) -> None:
        self._wake.set()
        if self._sender is None:
            self._sender = asyncio.get_running_loop().create_task(self._send(), name="nearline-events")

    async def _send(self) -> None:
        outbox = self._outbox
        while True:
            self._wake.clear()
            due = outbox.due()
            if due == 0.0:
                parts = [outbox.take()]
                while parts:
                    parts = await self._deliver(parts[0]) + parts[1:]
            elif due is None and outbox.closing:
                return
            else:
                await _wait(self._wake, due)

    async def _deliver(self, batch: list[bytes]) -> list[list[bytes]]:
        """Send a batch until it is taken, refused, or the client closes; return parts to send by themselves."""
        attempt, body = 0, Outbox.body(batch)
        while True:
            response = None
            # httpx says RuntimeError of a client that was closed meanwhile.
            with suppress(httpx.HTTPError, RuntimeError):
                response = await self._http.post("/v1/events", content=body, headers=JSON)
            settled = self._settled(batch, response, attempt)
            if isinstance(settled, list):
                return settled
            attempt += 1
            # Closing cuts a long wait short, once: from then on the deadline holds.
            if await _wait(self._stopped, settled):
                await asyncio.sleep(min(settled, 0.1))


async def _wait(event: asyncio.Event, seconds: float | None) -> bool:
    """Wait for an event, or for so long; return whether it came."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True
