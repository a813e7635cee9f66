"""Items: register, change, withdraw."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from nearline.schema.item import Item
from nearline.serving.asgi import Call, Handler, Reply, Table, json_reply
from nearline.serving.bodies import identifier
from nearline.serving.engine_port import EnginePort
from nearline.serving.problems import ProblemError, not_found
from nearline.serving.replies import ItemsTaken, ItemTaken
from nearline.serving.validate_items import ItemValidator

T = TypeVar("T")


class ItemRoutes:
    """Takes items in."""

    def __init__(self, engine: EnginePort) -> None:
        self._engine = engine
        self._validator = ItemValidator(engine.app)
        self._latest: asyncio.Task[Any] | None = None

    def table(self) -> Table:
        """Return the handlers."""
        one: dict[str, Handler] = {"GET": self.get, "PUT": self.put, "PATCH": self.patch, "DELETE": self.delete}
        return {"/v1/items": {"POST": self.post}, "/v1/items/{item_id:path}": one}

    async def post(self, call: Call) -> Reply:
        """Register or replace a batch."""
        batch = self._validator.batch(await call.json())
        if not batch.items:
            raise ProblemError(422, "every item is wrong; see rejected", rejected=batch.rejected)
        offset = await self._write(self._engine.put_items(batch.items))
        return json_reply(ItemsTaken(len(batch.items), batch.item_ids, batch.rejected, offset))

    async def get(self, call: Call) -> Reply:
        """Answer with one as it is registered."""
        item_id = _id(call)
        item = self._engine.catalog.items.get(item_id)
        if item is None:
            raise not_found("item", "item_id", item_id)
        return json_reply(item)

    async def put(self, call: Call) -> Reply:
        """Register or replace one."""
        return await self._store(self._validator.whole(await call.json(), _id(call)))

    async def patch(self, call: Call) -> Reply:
        """Change what the body names, keep the rest."""
        item_id = _id(call)
        body = await call.json()
        # It is made from the item as it is, so writes under way must be in; they are done in order.
        while self._latest is not None and not self._latest.done():
            await asyncio.wait([self._latest])
        current = self._engine.catalog.items.get(item_id)
        if current is None:
            raise not_found("item", "item_id", item_id)
        return await self._store(self._validator.changed(body, current))

    async def delete(self, call: Call) -> Reply:
        """Withdraw one."""
        item_id = _id(call)
        if not await self._write(self._engine.delete_item(item_id)):
            raise not_found("item", "item_id", item_id)
        return Reply(204, b"")

    async def _store(self, item: Item) -> Reply:
        return json_reply(ItemTaken(item, await self._write(self._engine.put_items([item]))))

    async def _write(self, writing: Coroutine[Any, Any, T]) -> T:
        self._latest = task = asyncio.create_task(writing)
        return await task


def _id(call: Call) -> str:
    item_id = identifier(call.path["item_id"], "item_id")
    if not item_id:
        raise not_found("item", "item_id", item_id)
    return item_id
