"""What the page at `/` and operators ask about the application: its events, its releases, who was here."""

from __future__ import annotations

from nearline import __version__
from nearline.schema.conditions import OPS
from nearline.schema.query import SURFACES
from nearline.serving.asgi import Call, Reply, Table, json_reply
from nearline.serving.engine_port import EnginePort
from nearline.serving.params import Params
from nearline.serving.replies import Application, AttributeKind, EventKind, PageKind, Users

DEFAULT_USERS, MOST_USERS = 20, 100
USERS = frozenset(("limit",))


class InsightRoutes:
    """Shows what is running."""

    def __init__(self, engine: EnginePort) -> None:
        self._engine = engine

    def table(self) -> Table:
        """Return the handlers."""
        return {
            "/v1/application": {"GET": self.application},
            "/v1/releases": {"GET": self.releases},
            "/v1/users": {"GET": self.users},
        }

    async def application(self, _call: Call) -> Reply:
        """Answer with what the application declares."""
        app = self._engine.app
        kinds = [EventKind(kind.name, kind.role, float(kind.weight), kind.outcome) for kind in app.types]
        pages = [PageKind(name, page.surface) for name, page in app.served_pages.items()]
        attributes = [AttributeKind(name, kind, list(OPS[kind])) for name, kind in app.condition_kinds.items()]
        items = len(self._engine.catalog.items)
        return json_reply(Application(app.name, __version__, kinds, list(SURFACES), pages, attributes, items))

    async def releases(self, _call: Call) -> Reply:
        """Answer with the releases, the newest first."""
        return json_reply(await self._engine.releases())

    async def users(self, call: Call) -> Reply:
        """Answer with the users of the newest events."""
        limit = Params(call.scope["query_string"], USERS).whole("limit", DEFAULT_USERS, 1, MOST_USERS)
        return json_reply(Users(await self._engine.recent_users(limit)))
