"""A small HTTP client: one connection kept alive, bounded retries that honour Retry-After."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from nearline.schema.errors import NearlineError

_BUSY = (429, 503)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request came to.

    Args:
        status: HTTP status; 0 when no answer came.
        body: as received.
        seconds: how long the last try took.
    """

    status: int
    body: bytes
    seconds: float

    @property
    def ok(self) -> bool:
        """Return whether the server took it."""
        return 200 <= self.status < 300


class Caller(Protocol):
    """Something that speaks the HTTP API."""

    retries: int

    def get(self, path: str) -> Answer:
        """Send a GET."""
        ...

    def post(self, path: str, body: bytes) -> Answer:
        """Send JSON."""
        ...


class Client:
    """Talks to one server from one thread.

    Args:
        base_url: `http://host:port` or https, with a path prefix if there is one.
        headers: sent with each request, such as an API key.
        tries: how often a request is tried when the server is busy (429, 503) or the connection breaks.
        longest_wait: seconds; a longer Retry-After is cut to this.
        timeout: seconds per try.
        sleep: how to wait.

    Raises:
        NearlineError: the URL is not http or https.
    """

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str] | None = None,
        tries: int = 5,
        longest_wait: float = 10.0,
        timeout: float = 10.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        url = urlsplit(base_url)
        if url.scheme not in {"http", "https"} or not url.hostname:
            raise NearlineError("base_url", base_url, "give one such as http://127.0.0.1:8000")
        make = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        self._connection = make(url.hostname, url.port, timeout=timeout)
        self._prefix, self._headers = url.path.rstrip("/"), dict(headers or {})
        self._tries, self._longest_wait, self._sleep = max(tries, 1), longest_wait, sleep
        self.retries = 0

    def get(self, path: str) -> Answer:
        """Send a GET; never raises for what the network or the server does."""
        return self._send("GET", path, None)

    def post(self, path: str, body: bytes) -> Answer:
        """Send JSON; safe to retry only where the body carries its own ids."""
        return self._send("POST", path, body)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _send(self, method: str, path: str, body: bytes | None) -> Answer:
        answer = Answer(0, b"", 0.0)
        for attempt in range(self._tries):
            wait = min(0.05 * 2**attempt, self._longest_wait)
            begun = time.perf_counter()
            try:
                answer, asked = self._once(method, path, body, begun)
            except (http.client.HTTPException, OSError):
                self._connection.close()
                answer, asked = Answer(0, b"", time.perf_counter() - begun), None
            if answer.status and answer.status not in _BUSY:
                return answer
            if attempt + 1 < self._tries:
                self.retries += 1
                self._sleep(wait if asked is None else min(asked, self._longest_wait))
        return answer

    def _once(self, method: str, path: str, body: bytes | None, begun: float) -> tuple[Answer, float | None]:
        headers = self._headers if body is None else {**self._headers, "Content-Type": "application/json"}
        self._connection.request(method, self._prefix + path, body, headers)
        response = self._connection.getresponse()
        content = response.read()
        return Answer(response.status, content, time.perf_counter() - begun), _seconds(response.headers.get("Retry-After"))


def _seconds(header: str | None) -> float | None:
    """Return a Retry-After in seconds; None when absent or a date."""
    try:
        return None if header is None else max(float(header), 0.0)
    except ValueError:
        return None
