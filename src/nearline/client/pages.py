"""More than one list, and why: pages of rows, batches, explanations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nearline.client.asking import Asking, AsyncAsking, at, said, sending
from nearline.client.http import Request
from nearline.client.list_types import BatchedLists, ListRequest, Page, Why


def _get(path: str, **given: Any) -> Request:
    return Request("GET", path, said(given))


class PageCalls(Asking):
    """Endpoints of pages, batches and explanations."""

    def page(
        self,
        name: str,
        user_id: str = "",
        *,
        session_id: str = "",
        item_id: str = "",
        cart: Sequence[str] = (),
        exclude: Sequence[str] = (),
        filter: Sequence[str] = (),
        device: str = "",
        locale: str = "",
        location: str = "",
    ) -> Page:
        """Return a page of rows for a user or session."""
        asked = _get(
            at("/v1/pages/{}", name), user_id=user_id, session_id=session_id, item_id=item_id, cart=tuple(cart),
            exclude=tuple(exclude), filter=tuple(filter), device=device, locale=locale, location=location,
        )  # fmt: skip
        return self._ask(asked, Page)

    def recommend_batch(self, requests: Sequence[ListRequest], *, log: bool = True) -> BatchedLists:
        """Return lists for up to 1,000 requests, made while no live request waits; `log=False` leaves no impressions.

        They come one after another: give the client a `timeout` that the whole batch fits in.
        """
        asked = Request("POST", "/v1/recommendations:batch", {} if log else {"log": "false"}, sending("", "", requests).body)
        return self._ask(asked, BatchedLists)

    def explain(
        self,
        item_id: str,
        user_id: str = "",
        *,
        session_id: str = "",
        context: str = "",
        page_size: int | None = None,
        page_item_id: str = "",
        cart: Sequence[str] = (),
        exclude: Sequence[str] = (),
        filter: Sequence[str] = (),
        device: str = "",
        locale: str = "",
        location: str = "",
    ) -> Why:
        """Return why an item is in the list that the same parameters get, or why not."""
        asked = _get(
            "/v1/explain", item_id=item_id, user_id=user_id, session_id=session_id, context=context, page_size=page_size,
            page_item_id=page_item_id, cart=tuple(cart), exclude=tuple(exclude), filter=tuple(filter), device=device,
            locale=locale, location=location,
        )  # fmt: skip
        return self._ask(asked, Why)


class AsyncPageCalls(AsyncAsking):
    """Endpoints of pages, batches and explanations."""

    async def page(
        self,
        name: str,
        user_id: str = "",
        *,
        session_id: str = "",
        item_id: str = "",
        cart: Sequence[str] = (),
        exclude: Sequence[str] = (),
        filter: Sequence[str] = (),
        device: str = "",
        locale: str = "",
        location: str = "",
    ) -> Page:
        """Return a page of rows for a user or session."""
        asked = _get(
            at("/v1/pages/{}", name), user_id=user_id, session_id=session_id, item_id=item_id, cart=tuple(cart),
            exclude=tuple(exclude), filter=tuple(filter), device=device, locale=locale, location=location,
        )  # fmt: skip
        return await self._ask(asked, Page)

    async def recommend_batch(self, requests: Sequence[ListRequest], *, log: bool = True) -> BatchedLists:
        """Return lists for many requests. See `Client`."""
        asked = Request("POST", "/v1/recommendations:batch", {} if log else {"log": "false"}, sending("", "", requests).body)
        return await self._ask(asked, BatchedLists)

    async def explain(
        self,
        item_id: str,
        user_id: str = "",
        *,
        session_id: str = "",
        context: str = "",
        page_size: int | None = None,
        page_item_id: str = "",
        cart: Sequence[str] = (),
        exclude: Sequence[str] = (),
        filter: Sequence[str] = (),
        device: str = "",
        locale: str = "",
        location: str = "",
    ) -> Why:
        """Return why an item is in the list that the same parameters get, or why not."""
        asked = _get(
            "/v1/explain", item_id=item_id, user_id=user_id, session_id=session_id, context=context, page_size=page_size,
            page_item_id=page_item_id, cart=tuple(cart), exclude=tuple(exclude), filter=tuple(filter), device=device,
            locale=locale, location=location,
        )  # fmt: skip
        return await self._ask(asked, Why)
