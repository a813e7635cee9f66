"""The HTTP API as one ASGI application: who may ask, who answers, and how errors look."""

from __future__ import annotations

import hmac
import logging
import os
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from time import perf_counter
from typing import Any

from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Router, compile_path

from nearline.serving.asgi import (
    PROBLEM,
    Call,
    DisconnectedError,
    Handler,
    Receive,
    Reply,
    Scope,
    Send,
    Table,
    header,
)
from nearline.serving.engine_port import EnginePort
from nearline.serving.logs import REQUEST_ID
from nearline.serving.metrics import Metrics
from nearline.serving.problems import UNFORESEEN, ProblemError, problem_of
from nearline.serving.routes_batch import BatchRoutes
from nearline.serving.routes_editorial import EditorialRoutes
from nearline.serving.routes_events import EventRoutes
from nearline.serving.routes_insight import InsightRoutes
from nearline.serving.routes_items import ItemRoutes
from nearline.serving.routes_lists import ListRoutes
from nearline.serving.routes_ops import OpsRoutes
from nearline.serving.routes_page import FILE, PAGE, PageRoutes
from nearline.serving.routes_rules import RuleRoutes
from nearline.serving.routes_users import UserRoutes

ASGIApp = Callable[[Scope, Receive, Send], Any]
Lifespan = Callable[[Any], AbstractAsyncContextManager[None]]

OPEN = frozenset(("/healthz", "/readyz", PAGE, FILE))
"""Paths that never ask for a key."""
_log = logging.getLogger(__name__)
_GIVEN_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}").fullmatch


def create_app(engine: EnginePort, metrics: Metrics | None = None, lifespan: Lifespan | None = None) -> ASGIApp:
    """Return the API over an engine.

    Args:
        engine: answers.
        metrics: where to count; the engine's own, so that `/metrics` shows stages too.
        lifespan: runs around serving, called with the application, as Starlette has it.
    """
    api = Api(engine, metrics or Metrics(), lifespan)
    origins = engine.settings.server.cors_origins
    if not origins:
        return api
    return CORSMiddleware(
        api,
        allow_origins=origins,
        allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
        allow_headers=("Authorization", "X-API-Key", "Content-Type", "X-Request-Id"),
        expose_headers=("X-Request-Id", "Retry-After"),
    )


class Api:
    """Finds the handler of a request and sends its reply.

    Fixed paths are one look-up; the others are patterns.

    Args:
        engine: answers.
        metrics: where to count.
        lifespan: runs around serving.
    """

    def __init__(self, engine: EnginePort, metrics: Metrics, lifespan: Lifespan | None = None) -> None:
        self._engine, self._metrics = engine, metrics
        server = engine.settings.server
        self._key, self._limit = server.api_key.encode(), server.max_body_bytes
        self._router = Router(lifespan=lifespan)
        table: Table = {
            **EventRoutes(engine, metrics).table(),
            **ListRoutes(engine).table(),
            **BatchRoutes(engine).table(),
            **EditorialRoutes(engine).table(),
            **ItemRoutes(engine).table(),
            **UserRoutes(engine).table(),
            **InsightRoutes(engine).table(),
            **PageRoutes(engine).table(),
            **RuleRoutes(engine).table(),
            **OpsRoutes(engine, metrics).table(),
        }
        self.endpoints = {(method, plain(path)) for path, handlers in table.items() for method in handlers}
        self._fixed = {path: handlers for path, handlers in table.items() if "{" not in path}
        self._patterns = [(compile_path(path)[0], plain(path), handlers) for path, handlers in table.items() if "{" in path]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or take part in the server's start and end."""
        if scope["type"] != "http":
            await self._router(scope, receive, send)
            return
        began = perf_counter()
        given = header(scope, b"x-request-id")
        request_id = given.decode() if given and _GIVEN_ID(given) else os.urandom(8).hex()
        REQUEST_ID.set(request_id)
        endpoint = "none"
        try:
            endpoint, handler, values = self._find(scope)
            self._admit(scope, endpoint)
            reply = await handler(Call(scope, receive, values, self._limit))
        except DisconnectedError:
            return
        except Exception as error:
            reply = _problem(error, request_id)
        if reply.request_id and given is None:
            request_id = reply.request_id
        length = [(b"content-length", b"%d" % len(reply.body))] if reply.parts is None else []
        await send(
            {
                "type": "http.response.start",
                "status": reply.status,
                "headers": [
                    *reply.headers,
                    *length,
                    (b"x-request-id", request_id.encode()),
                    (b"server-timing", b"total;dur=%.2f" % (1e3 * (perf_counter() - began))),
                ],
            }
        )
        if reply.parts is not None:
            async for part in reply.parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": reply.body})
        self._metrics.request(endpoint, reply.status, perf_counter() - began)

    def _find(self, scope: Scope) -> tuple[str, Handler, dict[str, Any]]:
        path, values = scope["path"], {}
        handlers = self._fixed.get(path)
        endpoint = path
        if handlers is None:
            for pattern, endpoint, handlers in self._patterns:  # noqa: B007
                if match := pattern.match(path):
                    values = match.groupdict()
                    break
            else:
                self._admit(scope, "none")
                raise ProblemError(404, "there is no such path; /docs lists what there is")
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        handler = handlers.get(method)
        if handler is None:
            self._admit(scope, endpoint)
            allow = ", ".join(handlers).encode()
            raise ProblemError(405, f"use {allow.decode()} here", headers=[(b"allow", allow)])
        return endpoint, handler, values

    def _admit(self, scope: Scope, endpoint: str) -> None:
        """Refuse who has no key, where one is set; and everyone, as long as the engine is not ready."""
        if endpoint in OPEN:
            return
        if self._key:
            token = header(scope, b"x-api-key")
            if token is None:
                kind, _, token = (header(scope, b"authorization") or b"").partition(b" ")
                token = token.strip() if kind.lower() == b"bearer" else b""
            if not hmac.compare_digest(token, self._key):
                detail = "send the API key as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'"
                raise ProblemError(401, detail, headers=[(b"www-authenticate", b"Bearer")])
        if endpoint.startswith("/v1/") and not self._engine.ready:
            raise ProblemError(503, "state is being restored; /readyz says when it is", retry_after=1)


def plain(path: str) -> str:
    """Return a path's pattern without convertors, as the reference has it."""
    return path.replace(":path}", "}")


def _problem(error: Exception, request_id: str) -> Reply:
    problem = problem_of(error)
    if problem is None:
        _log.exception("unforeseen")
        problem = UNFORESEEN
    return Reply(problem.status, problem.body(request_id), PROBLEM, *problem.headers)
