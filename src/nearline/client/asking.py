"""Asking an endpoint and reading its answer as a struct, with threads or with asyncio; endpoints by subject build on it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from nearline.client.http import Request

T = TypeVar("T")


class Asking(ABC):
    """What a client for threads asks with."""

    @abstractmethod
    def request(self, asked: Request) -> bytes:
        """Send a request; return the body."""

    def _ask(self, asked: Request, kind: type[T]) -> T:
        return msgspec.json.decode(self.request(asked), type=kind)


class AsyncAsking(ABC):
    """What a client for asyncio asks with."""

    @abstractmethod
    async def request(self, asked: Request) -> bytes:
        """Send a request; return the body."""

    async def _ask(self, asked: Request, kind: type[T]) -> T:
        return msgspec.json.decode(await self.request(asked), type=kind)


def said(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what says something: no empty text, no empty list, no None."""
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
    return {name: value for name, value in plain.items() if value not in ("", None, [])}


def at(path: str, *names: str) -> str:
    """Return a path with names put into its places, percent-encoded."""
    return path.format(*(quote(name, safe="") for name in names))


def sending(method: str, path: str, body: Any, again: bool = True) -> Request:
    """Return a request with a body of JSON."""
    return Request(method, path, body=msgspec.json.encode(body), again=again)
