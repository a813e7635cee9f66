"""Rules without code: set, list, withdraw, try out."""

from __future__ import annotations

import msgspec

from nearline.schema.declared import Declaration
from nearline.schema.errors import NearlineError
from nearline.schema.event import DEVICES
from nearline.schema.ids import visitor_key
from nearline.schema.query import SURFACES, Query
from nearline.schema.rules import KIND, MOST_RULES, Rule
from nearline.serving.asgi import Call, Handler, Reply, Table, json_reply
from nearline.serving.bodies import identifier
from nearline.serving.engine_port import EnginePort
from nearline.serving.params import conditions_of
from nearline.serving.problems import not_found
from nearline.serving.replies import RuleShown, RulesShown, RuleTaken
from nearline.serving.routes_lists import MOST_SIZE
from nearline.serving.rule_bodies import PreviewIn, decoded, rule_of

PREVIEW = "preview"
"""A path, and so no name of a rule."""


class RuleRoutes:
    """Takes rules in and shows them."""

    def __init__(self, engine: EnginePort) -> None:
        self._engine, self._kinds = engine, engine.app.condition_kinds

    def table(self) -> Table:
        """Return the handlers."""
        one: dict[str, Handler] = {"GET": self.get, "PUT": self.put, "DELETE": self.delete}
        return {"/v1/rules": {"GET": self.all}, f"/v1/rules/{PREVIEW}": {"POST": self.preview}, "/v1/rules/{name}": one}

    async def all(self, _call: Call) -> Reply:
        """Answer with every rule."""
        return json_reply(RulesShown(self._shown()))

    async def get(self, call: Call) -> Reply:
        """Answer with one rule."""
        return json_reply(self._one(call.path["name"]))

    async def put(self, call: Call) -> Reply:
        """Set a rule, from the next list on."""
        name = identifier(call.path["name"], "name")
        rule = rule_of(await call.json(), name, self._kinds)
        names = {one.name for one in self._engine.rules.rules}
        if name not in names and len(names) >= MOST_RULES:
            raise NearlineError("name", name, f"there are {MOST_RULES} rules: withdraw one first")
        body = msgspec.json.encode(msgspec.structs.replace(rule, name="")).decode()
        offset = await self._engine.declare(Declaration(KIND, name, body))
        return json_reply(RuleTaken(rule, offset))

    async def delete(self, call: Call) -> Reply:
        """Withdraw a rule."""
        name = call.path["name"]
        if self._one(name).origin == "application":
            raise NearlineError("name", name, "it is in the application: take it out there, or set another of its name")
        await self._engine.declare(Declaration(KIND, name, ""))
        return Reply(204, b"")

    async def preview(self, call: Call) -> Reply:
        """Answer with a list before and after a rule."""
        given = decoded(await call.json(), PreviewIn)
        rule = rule_of(given.rule, "", self._kinds, "rule.")
        return json_reply(await self._engine.preview(rule, self._query(given)))

    def _query(self, given: PreviewIn) -> Query:
        user_id, session_id = identifier(given.user_id, "user_id"), identifier(given.session_id, "session_id")
        for field, value, choices in (("context", given.context, SURFACES), ("device", given.device, DEVICES)):
            if value not in choices:
                raise NearlineError(field, value, f"use one of {', '.join(choice for choice in choices if choice)}")
        if not 1 <= given.page_size <= MOST_SIZE:
            raise NearlineError("page_size", given.page_size, f"give a whole number from 1 to {MOST_SIZE}")
        return Query(
            visitor=visitor_key(user_id, session_id),
            now=self._engine.clock.now(),
            user_id=user_id,
            session_id=session_id,
            surface=given.context,
            page_size=given.page_size,
            item_id=identifier(given.item_id, "item_id"),
            device=given.device,
            locale=identifier(given.locale, "locale"),
            location=identifier(given.location, "location"),
            filters=conditions_of(given.filter, self._kinds, "filter"),
            limits=False,
            log=False,
        )

    def _one(self, name: str) -> RuleShown:
        for shown in self._shown():
            if shown.rule.name == name:
                return shown
        raise not_found("rule", "name", name)

    def _shown(self) -> list[RuleShown]:
        book, now = self._engine.rules, self._engine.clock.now()
        declared = self._engine.declared.of(KIND)
        shown = [RuleShown(r, "declared" if r.name in declared else "application", _state(r, now)) for r in book.rules]
        for name, error in book.problems.items():
            if (rule := book.unchecked(name)) is not None:
                shown = [one for one in shown if one.rule.name != name]
                shown.append(RuleShown(rule, "declared", "refused", f"{error.field}: {error.remedy}"))
        return shown


def _state(rule: Rule, now: int) -> str:
    if rule.starts is not None and now < rule.starts.timestamp() * 1000:
        return "waiting"
    if rule.ends is not None and now >= rule.ends.timestamp() * 1000:
        return "over"
    return "in_force"
