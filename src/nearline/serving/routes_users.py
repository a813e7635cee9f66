"""Users: what is known of one, what he says of himself, and forgetting it."""

from __future__ import annotations

from nearline.serving.asgi import Call, Handler, Reply, Table, json_reply
from nearline.serving.bodies import identifier
from nearline.serving.engine_port import EnginePort
from nearline.serving.params import Params
from nearline.serving.problems import not_found
from nearline.serving.profiles import interest_records, location_declaration, profile_of, profile_records
from nearline.serving.replies import InterestsTaken, ProfileTaken, UserErased

MOST_OFFERED = 60
ONBOARDING = frozenset(("n",))


class UserRoutes:
    """Shows, describes and erases users."""

    def __init__(self, engine: EnginePort) -> None:
        self._engine = engine

    def table(self) -> Table:
        """Return the handlers."""
        one: dict[str, Handler] = {"GET": self.get, "PUT": self.put, "PATCH": self.patch, "DELETE": self.delete}
        return {
            "/v1/onboarding": {"GET": self.onboarding},
            "/v1/users/{user_id:path}/interests": {"POST": self.interests},
            "/v1/users/{user_id:path}": one,
        }

    async def onboarding(self, call: Call) -> Reply:
        """Answer with what a new visitor may choose from."""
        params = Params(call.scope["query_string"], ONBOARDING)
        return json_reply(await self._engine.onboarding(params.whole("n", 12, 1, MOST_OFFERED)))

    async def interests(self, call: Call) -> Reply:
        """Take what a user says he likes; it moves his preferences at once."""
        user_id, engine = _id(call), self._engine
        records = interest_records(await call.json(), user_id, engine.catalog, engine.clock.now())
        return json_reply(InterestsTaken(user_id, len(records), await engine.add_events(records)))

    async def put(self, call: Call) -> Reply:
        """Set a user's demographics; what the body does not name is withdrawn."""
        return await self._describe(call, whole=True)

    async def patch(self, call: Call) -> Reply:
        """Change the demographics that the body names."""
        return await self._describe(call, whole=False)

    async def _describe(self, call: Call, whole: bool) -> Reply:
        user_id, engine = _id(call), self._engine
        profile = profile_of(await call.json(), whole)
        # The name first: whoever sees a location's key can read it.
        if (declaration := location_declaration(profile, engine.declared)) is not None:
            await engine.declare(declaration)
        offset = await engine.add_events(profile_records(user_id, profile, engine.clock.now()))
        state = await engine.user(user_id) or {}
        return json_reply(ProfileTaken(user_id, state.get("demographics", {}), offset))

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
