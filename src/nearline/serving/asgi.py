"""A request and a reply: as little as possible over ASGI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from nearline.schema.errors import NearlineError
from nearline.serving.problems import ProblemError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")
PROBLEM = (b"content-type", b"application/problem+json")
_encode = msgspec.json.Encoder().encode


class DisconnectedError(Exception):
    """The client left before it had sent everything; nobody waits for an answer."""


class Reply:
    """An answer: status, body, and headers with the content type first.

    Attributes:
        parts: what follows the body as it is made, `None` for nothing.
    """

    __slots__ = ("body", "headers", "parts", "request_id", "status")

    def __init__(self, status: int, body: bytes, *headers: tuple[bytes, bytes], request_id: str = "") -> None:
        self.status, self.body, self.headers, self.request_id = status, body, headers, request_id
        self.parts: AsyncIterator[bytes] | None = None


def json_reply(value: Any, status: int = 200, request_id: str = "") -> Reply:
    """Return a struct or plain values as JSON."""
    return Reply(status, _encode(value), JSON, request_id=request_id)


class Call:
    """One request.

    Attributes:
        scope: as ASGI has it.
        path: values of the path's parameters.
    """

    __slots__ = ("_limit", "_receive", "path", "scope")

    def __init__(self, scope: Scope, receive: Receive, path: dict[str, Any], limit: int) -> None:
        self.scope, self._receive, self.path, self._limit = scope, receive, path, limit

    async def json(self) -> bytes:
        """Return the body.

        Raises:
            ProblemError: it is larger than the settings allow, or not said to be JSON. A page of another
                origin may send other types unasked (CORS), and would so reach a server on loopback.
        """
        kind = header(self.scope, b"content-type")
        if kind != b"application/json" and (kind or b"").split(b";")[0].strip().lower() != b"application/json":
            raise ProblemError(
                415,
                "the body must be JSON, and say so",
                cause=NearlineError("Content-Type", (kind or b"").decode("latin-1"), "send application/json"),
            )
        message = await self._receive()
        if message["type"] != "http.request":
            raise DisconnectedError
        body: bytes = message.get("body", b"")
        if message.get("more_body"):
            parts, size = [body], len(body)
            while message.get("more_body") and size <= self._limit:
                message = await self._receive()
                if message["type"] != "http.request":
                    raise DisconnectedError
                parts.append(message.get("body", b""))
                size += len(parts[-1])
            body = b"".join(parts)
        if len(body) > self._limit:
            cause = NearlineError("body", f"{len(body):,} bytes or more", "send less at a time, or raise server.max_body_bytes")
            raise ProblemError(413, f"the body is larger than {self._limit:,} bytes", cause=cause)
        return body

    async def gone(self) -> None:
        """Return when the client has left; to be called once the body is read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


Handler = Callable[[Call], Awaitable[Reply]]
Table = dict[str, dict[str, Handler]]
"""Handlers by path pattern and method."""


def header(scope: Scope, name: bytes) -> bytes | None:
    """Return a request header by its lower-case name."""
    for key, value in scope["headers"]:
        if key == name:
            found: bytes = value
            return found
    return None
