"""`POST /v1/recommendations:batch`: lists for many users, made while no other request waits, sent as they are made."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from nearline.schema.errors import NearlineError
from nearline.schema.event import DEVICES
from nearline.schema.ids import visitor_key
from nearline.schema.query import SURFACES, Query
from nearline.schema.served import Served
from nearline.serving.asgi import JSON, Call, Reply, Table
from nearline.serving.bodies import Bodies, Rejection, identifier, nearest, shown
from nearline.serving.engine_port import EnginePort
from nearline.serving.params import MOST_EXCLUDED, Params, conditions_of, language_tag
from nearline.serving.problems import ProblemError
from nearline.serving.routes_lists import DEFAULT_SIZE, MOST_SIZE

PARAMS = frozenset(("log",))
_log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode


class ListRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One list of a batch; the fields are the parameters of `GET /v1/recommendations`, but for what continues or traces."""

    user_id: Any = ""
    session_id: Any = ""
    context: str = "homepage"
    page_size: int = DEFAULT_SIZE
    item_id: Any = ""
    exclude: list[Any] = []
    filter: list[str] = []
    cart: list[Any] = []
    device: str = ""
    locale: str = ""
    location: str = ""
    explain: bool = False


class BatchedList(msgspec.Struct, frozen=True):
    """A list and the place of its request in the batch."""

    index: int
    list: Served


class BatchedLists(msgspec.Struct, frozen=True):
    """The lists in the order of the batch, and the requests that have none."""

    lists: list[BatchedList]
    rejected: list[Rejection]


class BatchRoutes:
    """Makes lists for messages: e-mail, push."""

    def __init__(self, engine: EnginePort) -> None:
        self._engine = engine
        self._kinds = engine.app.condition_kinds
        self._bodies = Bodies(ListRequest, "requests")

    def table(self) -> Table:
        """Return the handlers."""
        return {"/v1/recommendations:batch": {"POST": self.post}}

    async def post(self, call: Call) -> Reply:
        """Answer with a list for each request; a bad one is rejected alone."""
        log = Params(call.scope["query_string"], PARAMS).flag("log", True)
        queries: list[tuple[int, Query]] = []
        rejected: list[Rejection] = []
        for index, raw in enumerate(self._bodies.split(await call.json())):
            try:
                queries.append((index, self._query(self._bodies.element(raw), log)))
            except NearlineError as error:
                rejected.append(_rejection(index, error))
        if not queries:
            raise ProblemError(422, "every request is wrong; see rejected", rejected=rejected)
        reply = Reply(200, b"", JSON)
        reply.parts = self._lists(call, queries, rejected)
        return reply

    async def _lists(self, call: Call, queries: Sequence[tuple[int, Query]], rejected: list[Rejection]) -> AsyncIterator[bytes]:
        gone = asyncio.ensure_future(call.gone())
        before = b'{"lists":['
        try:
            for index, query in queries:
                if gone.done():
                    return
                try:
                    served = await self._engine.recommend_later(query)
                except NearlineError as error:
                    rejected.append(_rejection(index, error))
                except Exception:
                    _log.exception("unforeseen")
                    rejected.append(Rejection(index, "", None, "the server made a mistake; its log has more; try again"))
                else:
                    yield before + _encode(BatchedList(index, served))
                    before = b","
        finally:
            gone.cancel()
        yield (b"" if before == b"," else before) + b'],"rejected":' + _encode(rejected) + b"}"

    def _query(self, given: ListRequest, log: bool) -> Query:
        user_id, session_id = identifier(given.user_id, "user_id"), identifier(given.session_id, "session_id")
        if not user_id and not session_id:
            raise NearlineError("user_id", "", "say for whom: give user_id, or session_id for an anonymous visitor")
        if not 1 <= given.page_size <= MOST_SIZE:
            raise NearlineError("page_size", given.page_size, f"give a whole number from 1 to {MOST_SIZE}")
        return Query(
            visitor=visitor_key(user_id, session_id),
            now=self._engine.clock.now(),
            user_id=user_id,
            session_id=session_id,
            surface=_choice("context", given.context, SURFACES),
            page_size=given.page_size,
            item_id=identifier(given.item_id, "item_id"),
            exclude=_ids("exclude", given.exclude),
            filters=conditions_of(given.filter, self._kinds, "filter"),
            cart=_ids("cart", given.cart),
            device=_choice("device", given.device, DEVICES),
            locale=language_tag(given.locale, "locale") if given.locale else "",
            location=identifier(given.location, "location"),
            explain=given.explain,
            log=log and not self._engine.settings.evaluation.mode,
        )


def _choice(name: str, text: str, choices: Sequence[str]) -> str:
    if text not in choices:
        raise NearlineError(name, shown(text), f"there is no such {name}{nearest(text, [one for one in choices if one])}")
    return text


def _ids(name: str, given: Sequence[Any]) -> tuple[str, ...]:
    if len(given) > MOST_EXCLUDED:
        raise NearlineError(name, f"{len(given)} of them", f"give at most {MOST_EXCLUDED:,}")
    return tuple(identifier(one, f"{name}[{place}]") for place, one in enumerate(given))


def _rejection(index: int, error: NearlineError) -> Rejection:
    return Rejection(index, error.field, shown(error.value), error.remedy)
