"""Editorial lists: put, show, withdraw."""

from __future__ import annotations

import msgspec

from nearline.schema.declared import Declaration
from nearline.schema.lists import KIND, ItemList, decode_list
from nearline.serving.asgi import Call, Handler, Reply, Table, json_reply
from nearline.serving.engine_port import EnginePort
from nearline.serving.problems import not_found
from nearline.serving.validate_lists import list_name, list_of


class ListView(msgspec.Struct, frozen=True):
    """A list as it is kept; times in ms UTC, 0 for always.

    Attributes:
        unknown_items: how many of its items are not registered; they are shown once they are.
    """

    name: str
    title: str
    item_ids: list[str]
    starts: int
    ends: int
    surfaces: list[str]
    unknown_items: int


class ListTaken(msgspec.Struct, frozen=True):
    """The list as it is in force now; `offset` is its place in `item_events`."""

    list: ListView
    offset: int


class Lists(msgspec.Struct, frozen=True):
    """All lists, in order of declaration."""

    lists: list[ListView]


class EditorialRoutes:
    """Takes editorial lists in."""

    def __init__(self, engine: EnginePort) -> None:
        self._engine = engine

    def table(self) -> Table:
        """Return the handlers."""
        one: dict[str, Handler] = {"GET": self.get, "PUT": self.put, "DELETE": self.delete}
        return {"/v1/lists": {"GET": self.all}, "/v1/lists/{name}": one}

    async def all(self, _call: Call) -> Reply:
        """Answer with all lists."""
        held = self._engine.declared.of(KIND)
        return json_reply(Lists([self._view(name, decode_list(body)) for name, body in held.items()]))

    async def get(self, call: Call) -> Reply:
        """Answer with one."""
        name = call.path["name"]
        body = self._engine.declared.of(KIND).get(name)
        if body is None:
            raise not_found("list", "name", name)
        return json_reply(self._view(name, decode_list(body)))

    async def put(self, call: Call) -> Reply:
        """Keep one, in place of what had its name."""
        name = list_name(call.path["name"])
        taken = list_of(await call.json())
        offset = await self._engine.declare(taken.declaration(name))
        return json_reply(ListTaken(self._view(name, taken), offset))

    async def delete(self, call: Call) -> Reply:
        """Withdraw one."""
        name = call.path["name"]
        if name not in self._engine.declared.of(KIND):
            raise not_found("list", "name", name)
        await self._engine.declare(Declaration(KIND, name, ""))
        return Reply(204, b"")

    def _view(self, name: str, each: ItemList) -> ListView:
        items = self._engine.catalog.items
        unknown = sum(item_id not in items for item_id in each.item_ids)
        return ListView(name, each.title, list(each.item_ids), each.starts, each.ends, list(each.surfaces), unknown)
