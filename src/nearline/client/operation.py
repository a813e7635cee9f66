"""Items one by one, editorial lists by name, the application and its releases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nearline.client.asking import Asking, AsyncAsking, at, sending
from nearline.client.http import Request
from nearline.client.operation_types import Application, Item, ItemTaken, Releases
from nearline.client.types import EditorialList

_ITEM = "/v1/items/{}"


class OperationCalls(Asking):
    """Endpoints of single items and of what runs."""

    def item(self, item_id: str) -> Item:
        """Return an item as it is registered."""
        return self._ask(Request("GET", at(_ITEM, item_id)), Item)

    def put_item(self, item_id: str, fields: Mapping[str, Any]) -> Item:
        """Register or replace an item; return it as it is registered now."""
        return self._ask(sending("PUT", at(_ITEM, item_id), fields), ItemTaken).item

    def change_item(self, item_id: str, fields: Mapping[str, Any]) -> Item:
        """Change the fields that are given; None resets one."""
        return self._ask(sending("PATCH", at(_ITEM, item_id), fields), ItemTaken).item

    def delete_item(self, item_id: str) -> None:
        """Withdraw an item from all lists."""
        self.request(Request("DELETE", at(_ITEM, item_id)))

    def editorial_list(self, name: str) -> EditorialList:
        """Return one editorial list."""
        return self._ask(Request("GET", at("/v1/lists/{}", name)), EditorialList)

    def application(self) -> Application:
        """Return what the application declares."""
        return self._ask(Request("GET", "/v1/application"), Application)

    def releases(self) -> Releases:
        """Return all releases, the newest first."""
        return self._ask(Request("GET", "/v1/releases"), Releases)


class AsyncOperationCalls(AsyncAsking):
    """Endpoints of single items and of what runs."""

    async def item(self, item_id: str) -> Item:
        """Return an item as it is registered."""
        return await self._ask(Request("GET", at(_ITEM, item_id)), Item)

    async def put_item(self, item_id: str, fields: Mapping[str, Any]) -> Item:
        """Register or replace an item; return it as it is registered now."""
        return (await self._ask(sending("PUT", at(_ITEM, item_id), fields), ItemTaken)).item

    async def change_item(self, item_id: str, fields: Mapping[str, Any]) -> Item:
        """Change the fields that are given; None resets one."""
        return (await self._ask(sending("PATCH", at(_ITEM, item_id), fields), ItemTaken)).item

    async def delete_item(self, item_id: str) -> None:
        """Withdraw an item from all lists."""
        await self.request(Request("DELETE", at(_ITEM, item_id)))

    async def editorial_list(self, name: str) -> EditorialList:
        """Return one editorial list."""
        return await self._ask(Request("GET", at("/v1/lists/{}", name)), EditorialList)

    async def application(self) -> Application:
        """Return what the application declares."""
        return await self._ask(Request("GET", "/v1/application"), Application)

    async def releases(self) -> Releases:
        """Return all releases, the newest first."""
        return await self._ask(Request("GET", "/v1/releases"), Releases)
