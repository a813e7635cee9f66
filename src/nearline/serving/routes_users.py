"""Users: what is known of one, and forgetting it."""

from __future__ import annotations

from nearline.serving.asgi import Call, Reply, Table, json_reply
from nearline.serving.bodies import identifier
from nearline.serving.engine_port import EnginePort
from nearline.serving.problems import not_found
from nearline.serving.replies import UserErased


class UserRoutes:
    """Shows and erases users."""

    def __init__(self, engine: EnginePort) -> None:
        self._engine = engine

    def table(self) -> Table:
        """Return the handlers."""
        return {"/v1/users/{user_id:path}": {"GET": self.get, "DELETE": self.delete}}

    async def get(self, call: Call) -> Reply:
        """Answer with the state that a person can read."""
        user_id = _id(call)
        state = await self._engine.user(user_id)
        if state is None:
            raise not_found("user", "user_id", user_id)
        return json_reply(state)

    async def delete(self, call: Call) -> Reply:
        """Erase a user; one who was never seen, too, so that what is on its way is erased."""
        user_id = _id(call)
        return json_reply(UserErased(user_id, await self._engine.erase_user(user_id)))


def _id(call: Call) -> str:
    user_id = identifier(call.path["user_id"], "user_id")
    if not user_id:
        raise not_found("user", "user_id", user_id)
    return user_id
